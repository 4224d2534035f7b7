//! Topic names and topic filters: what is valid, and what matches.

/// Whether `topic` may stand in a PUBLISH: not empty, no wildcard [MQTT-4.7.1-1, MQTT-4.7.3-1]. U+0000 and bad UTF-8
/// are refused before.
#[inline]
pub fn is_valid_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.bytes().any(|byte| matches!(byte, b'+' | b'#'))
}

/// Whether `filter` may stand in a SUBSCRIBE: wildcards fill a level, `#` the last one [MQTT-4.7.1-2, MQTT-4.7.1-3].
pub fn is_valid_filter(filter: &str) -> bool {
    if filter.is_empty() {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let has_wildcard = level.contains(['+', '#']);
        let is_last = levels.peek().is_none();
        if has_wildcard && level != "+" && !(level == "#" && is_last) {
            return false;
        }
    }
    true
}

/// Whether `filter`, which is valid, matches `topic`.
pub fn matches(filter: &str, topic: &str) -> bool {
    // A wildcard in the first level does not match topics that begin with `$` [MQTT-4.7.2-1].
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut wanted, mut found) = (filter.split('/'), topic.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(level), Some(other)) if level == other => {}
            _ => return false,
        }
    }
}

/// Whether everything that `filter`, which is valid, can match lies below `root` (or is `root` itself).
pub fn is_within(filter: &str, root: &str) -> bool {
    let mut levels = filter.split('/');
    root.split('/').all(|level| levels.next() == Some(level))
}

/// Whether `allowed` matches every topic that `filter` matches; both are valid filters.
pub fn covers(allowed: &str, filter: &str) -> bool {
    if filter.starts_with('$') && allowed.starts_with(['+', '#']) {
        return false;
    }
    let (mut allowed, mut asked) = (allowed.split('/'), filter.split('/'));
    loop {
        match (allowed.next(), asked.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(level), Some(other)) if level == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn filters_of_the_standard() {
        for filter in ["#", "+", "/", "a/#", "a/+/b", "+/+", "/+", "a//b", "$SYS/#"] {
            assert!(is_valid_filter(filter), "{filter}");
        }
        for filter in ["", "a#", "a/#/b", "a+", "+a/b", "##", "#/"] {
            assert!(!is_valid_filter(filter), "{filter}");
        }
    }

    #[test]
    fn matches_of_the_standard() {
        let cases = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
        ];
        for (filter, topic, expected) in cases {
            assert_eq!(matches(filter, topic), expected, "{filter} on {topic}");
        }
    }

    #[test]
    fn within_is_below_the_root() {
        let root = "urban-neuron/v1/alerts";
        for filter in
            ["urban-neuron/v1/alerts/#", "urban-neuron/v1/alerts/+/critical/#", "urban-neuron/v1/alerts/a"]
        {
            assert!(is_within(filter, root), "{filter}");
        }
        for filter in [
            "#",
            "urban-neuron/#",
            "urban-neuron/+/alerts/#",
            "urban-neuron/v1/alertsx/#",
            "urban-neuron/v1/#",
        ] {
            assert!(!is_within(filter, root), "{filter}");
        }
    }

    /// The standard's sentence as a recursion, slow and plain.
    fn reference(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            ([want, filter @ ..], [have, topic @ ..]) => {
                (*want == "+" || want == have) && reference(filter, topic)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matches_as_the_reference(filter in "[a+/]{1,6}(/#)?", topic in "[ab/]{1,7}") {
            prop_assume!(is_valid_filter(&filter));
            let expected = reference(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>());
            prop_assert_eq!(matches(&filter, &topic), expected, "{} on {}", filter, topic);
        }

        #[test]
        fn what_is_covered_matches_nothing_more(
            allowed in "(a|b|\\+|#)(/(a|b|\\+|#)){0,3}",
            filter in "(a|b|\\+|#)(/(a|b|\\+|#)){0,3}",
            topic in "(a|b)(/(a|b)){0,4}",
        ) {
            prop_assume!(is_valid_filter(&allowed) && is_valid_filter(&filter));
            if covers(&allowed, &filter) && matches(&filter, &topic) {
                prop_assert!(matches(&allowed, &topic), "{} in {} on {}", filter, allowed, topic);
            }
            prop_assert!(covers(&filter, &filter) && covers("#", &filter));
            prop_assert_eq!(covers(&allowed, &topic), matches(&allowed, &topic), "a topic is a filter");
        }

        #[test]
        fn what_is_within_matches_nothing_outside(filter in "(a|b|\\+)(/(a|b|\\+|#)){0,3}", topic in "(a|b)(/(a|b)){0,3}") {
            prop_assume!(is_valid_filter(&filter));
            if is_within(&filter, "a/b") && matches(&filter, &topic) {
                prop_assert!(topic == "a/b" || topic.starts_with("a/b/"), "{} on {}", filter, topic);
            }
        }
    }
}
