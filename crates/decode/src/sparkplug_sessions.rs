//! What the edge nodes of Sparkplug have said of themselves: what their metrics are, their sessions and counters.
//!
//! It belongs to a decoder, and so to the connections of one thread: births and data of a node come on one. It is bounded and
//! not kept: after a restart, until a node is born again, its aliases have no names and the node is asked for a birth.

use hashbrown::{HashMap, HashSet};

/// Nodes that are remembered; beyond it, the one whose birth is the longest ago is forgotten.
pub const SPARKPLUG_NODES_MAX: usize = 4_096;

/// Metrics of one node with all of its devices; what those beyond it are is not kept.
pub const SPARKPLUG_METRICS_MAX: usize = 65_536;

/// Bytes of the names and units of all nodes; beyond it nodes are forgotten as above.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// The sessions of the edge nodes that a decoder hears.
#[derive(Debug, Default)]
pub(crate) struct SparkplugSessions {
    nodes: HashMap<Box<str>, Session>,
    births: u64,
    text_bytes: usize,
    /// Nodes that must say their births again.
    rebirths: HashSet<Box<str>>,
}

#[derive(Debug, Default)]
struct Session {
    /// bdSeq of the birth.
    number: Option<u64>,
    /// The last seq.
    sequence: Option<u8>,
    /// Which birth of all it was.
    birth: u64,
    metrics: HashMap<MetricKey, Name>,
}

/// An alias is unique within its node, a name within its device, which stands before it.
#[derive(Debug, PartialEq, Eq, Hash)]
enum MetricKey {
    Alias(u64),
    Name(Box<str>),
}

#[derive(Debug)]
struct Name {
    name: Box<str>,
    datatype: u32,
    unit: Box<str>,
}

/// What a birth says of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named<'s> {
    pub name: &'s str,
    pub datatype: u32,
    /// As sent; empty where it has none.
    pub unit: &'s str,
}

impl SparkplugSessions {
    /// A session begins: what was said before is void.
    pub(crate) fn node_birth(&mut self, node: &str, number: Option<u64>) {
        self.forget(node);
        self.rebirths.remove(node);
        while self.nodes.len() >= SPARKPLUG_NODES_MAX || self.text_bytes > TEXT_BYTES_MAX {
            let oldest =
                self.nodes.iter().min_by_key(|(_, session)| session.birth).map(|(node, _)| node.clone());
            let Some(oldest) = oldest else { break };
            self.forget(&oldest);
        }
        self.births += 1;
        let session = Session { number, birth: self.births, ..Session::default() };
        self.nodes.insert(node.into(), session);
    }

    /// Whether it ends the node's present session; a certificate of an earlier one does not.
    pub(crate) fn node_death(&mut self, node: &str, number: Option<u64>) -> bool {
        let is_late = self
            .nodes
            .get(node)
            .is_some_and(|session| session.number.is_some() && number.is_some() && session.number != number);
        if !is_late {
            self.forget(node);
        }
        !is_late
    }

    /// A birth says what an alias is; of a device whose node's birth was not heard, too.
    pub(crate) fn learn(&mut self, node: &str, device: &str, alias: Option<u64>, metric: Named<'_>) {
        if !self.nodes.contains_key(node) {
            self.node_birth(node, None);
        }
        let Some(session) = self.nodes.get_mut(node) else { return };
        let key = match alias {
            Some(alias) => MetricKey::Alias(alias),
            None => MetricKey::Name(full_name(device, metric.name)),
        };
        if session.metrics.len() >= SPARKPLUG_METRICS_MAX && !session.metrics.contains_key(&key) {
            return;
        }
        let name = Name { name: metric.name.into(), datatype: metric.datatype, unit: metric.unit.into() };
        self.text_bytes += name.bytes();
        if let Some(earlier) = session.metrics.insert(key, name) {
            self.text_bytes -= earlier.bytes();
        }
    }

    /// What the metric of this alias, or without one of this name, is.
    pub(crate) fn find(&self, node: &str, device: &str, alias: Option<u64>, name: &str) -> Option<Named<'_>> {
        let metrics = &self.nodes.get(node)?.metrics;
        let found = match alias {
            Some(alias) => metrics.get(&MetricKey::Alias(alias)),
            None => metrics.get(&MetricKey::Name(full_name(device, name))),
        }?;
        Some(Named { name: &found.name, datatype: found.datatype, unit: &found.unit })
    }

    /// A message bears this seq: where it is not the next, something was missed and the node is asked for its births.
    pub(crate) fn count(&mut self, node: &str, sequence: u8) {
        let Some(session) = self.nodes.get_mut(node) else { return };
        let is_next = session.sequence.is_none_or(|last| last.wrapping_add(1) == sequence);
        session.sequence = Some(sequence);
        if !is_next {
            self.want_rebirth(node);
        }
    }

    pub(crate) fn want_rebirth(&mut self, node: &str) {
        if self.rebirths.len() < SPARKPLUG_NODES_MAX {
            self.rebirths.insert(node.into());
        }
    }

    /// Nodes to ask for their births, as `group/node`; each is given once.
    pub(crate) fn take_rebirths(&mut self) -> impl Iterator<Item = Box<str>> + '_ {
        self.rebirths.drain()
    }

    fn forget(&mut self, node: &str) {
        if let Some(session) = self.nodes.remove(node) {
            self.text_bytes -= session.metrics.values().map(Name::bytes).sum::<usize>();
        }
    }
}

impl Name {
    fn bytes(&self) -> usize {
        self.name.len() + self.unit.len()
    }
}

/// No device's name has a slash, since it is a level of a topic.
fn full_name(device: &str, metric: &str) -> Box<str> {
    format!("{device}/{metric}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: Named<'_> = Named { name: "level", datatype: 9, unit: "cm" };

    #[test]
    fn an_alias_has_the_name_of_the_present_session() {
        let mut sessions = SparkplugSessions::default();
        sessions.node_birth("g/n", Some(1));
        sessions.learn("g/n", "d", Some(7), LEVEL);
        sessions.learn("g/n", "d", None, LEVEL);
        assert_eq!(sessions.find("g/n", "d", None, "level"), Some(LEVEL));
        assert_eq!(sessions.find("g/n", "e", None, "level"), None);
        assert_eq!(sessions.find("g/n", "", Some(7), ""), Some(LEVEL));
        assert_eq!(sessions.find("g/m", "", Some(7), ""), None);
        assert!(!sessions.node_death("g/n", Some(0)), "the will of an earlier session");
        assert!(sessions.find("g/n", "", Some(7), "").is_some());
        assert!(sessions.node_death("g/n", Some(1)));
        assert_eq!((sessions.find("g/n", "", Some(7), ""), sessions.text_bytes), (None, 0));
    }

    #[test]
    fn a_gap_asks_for_a_birth_once() {
        let mut sessions = SparkplugSessions::default();
        sessions.count("g/n", 4);
        sessions.node_birth("g/n", None);
        for sequence in [254, 255, 0, 1] {
            sessions.count("g/n", sequence);
        }
        assert_eq!(sessions.take_rebirths().count(), 0);
        sessions.count("g/n", 3);
        sessions.count("g/n", 9);
        assert_eq!(sessions.take_rebirths().collect::<Vec<_>>(), [Box::from("g/n")]);
        assert_eq!(sessions.take_rebirths().count(), 0);
    }

    #[test]
    fn it_is_bounded() {
        let mut sessions = SparkplugSessions::default();
        for node in 0..=SPARKPLUG_NODES_MAX {
            sessions.learn(&node.to_string(), "", Some(1), LEVEL);
        }
        assert_eq!(sessions.nodes.len(), SPARKPLUG_NODES_MAX);
        assert_eq!(
            (sessions.find("0", "", Some(1), ""), sessions.text_bytes),
            (None, 7 * SPARKPLUG_NODES_MAX)
        );
        for alias in 0..=SPARKPLUG_METRICS_MAX as u64 {
            sessions.learn("1", "", Some(alias), LEVEL);
        }
        assert_eq!(sessions.find("1", "", Some(SPARKPLUG_METRICS_MAX as u64), ""), None);
    }
}
