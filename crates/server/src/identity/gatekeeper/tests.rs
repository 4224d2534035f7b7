use std::net::Ipv4Addr;

use futures_util::FutureExt;
use futures_util::future::join_all;
use model::DeviceRights;

use super::*;
use crate::identity::password::{StoredPassword, hash};

const LIMITS: GatekeeperLimits =
    GatekeeperLimits { failures_per_user: 10, failures_per_address: 30, password_threads: 1 };

fn spec(name: &str, password: StoredPassword) -> UserSpec {
    UserSpec {
        name: name.to_owned(),
        password: Some(password),
        certificate: Some(format!("cn-{name}")),
        devices: DeviceRights::All,
        subscribe: Vec::new(),
    }
}

/// A device with a digest, and a person with argon2id.
fn gatekeeper() -> Gatekeeper {
    let people = StoredPassword::parse(&hash(b"made up").unwrap()).unwrap();
    Gatekeeper::start(
        vec![spec("device", StoredPassword::of_plain("long random")), spec("person", people)],
        LIMITS,
    )
    .unwrap()
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

fn applicant<'a>(name: &'a str, password: &'a str, from: u32) -> Applicant<'a> {
    Applicant {
        client_id: "c",
        username: Some(name),
        password: Some(password.as_bytes()),
        certificate_names: None,
        address: address(from),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn ask(gatekeeper: &Gatekeeper, name: &str, password: &str, from: u32) -> Result<String, ReasonCode> {
    let answer = block_on(gatekeeper.decide(&applicant(name, password, from)));
    answer.map(|identity| identity.name().to_owned())
}

const BAD: Result<String, ReasonCode> = Err(ReasonCode::BAD_USER_NAME_OR_PASSWORD);
const SLOWED: Result<String, ReasonCode> = Err(ReasonCode::CONNECTION_RATE_EXCEEDED);

#[test]
fn only_a_user_with_its_password_gets_in() {
    let gatekeeper = gatekeeper();
    for (name, password) in [("device", "long random"), ("person", "made up")] {
        assert_eq!(ask(&gatekeeper, name, password, 1).as_deref(), Ok(name));
        assert_eq!(ask(&gatekeeper, name, password, 2).as_deref(), Ok(name), "known again");
    }
    let too_long = "x".repeat(PASSWORD_BYTES_MAX + 1);
    for (name, password) in
        [("device", "long"), ("device", ""), ("person", "made"), ("nobody", "made up"), ("device", &too_long)]
    {
        assert_eq!(ask(&gatekeeper, name, password, 1), BAD, "{name}");
    }
    let nothing = Applicant { username: None, password: None, ..applicant("", "", 1) };
    assert!(block_on(gatekeeper.decide(&nothing)).is_err());
}

#[test]
fn a_refusal_is_not_said_at_once_and_an_admission_is() {
    let gatekeeper = gatekeeper();
    block_on(async {
        let begun = Instant::now();
        assert!(gatekeeper.check(applicant("device", "long random", 1)).now_or_never().unwrap().is_ok());
        assert!(gatekeeper.check(applicant("device", "wrong", 1)).await.is_err());
        assert!(begun.elapsed() >= REFUSAL_DELAY);
    });
}

#[test]
fn guessing_from_one_address_slows_that_address() {
    let gatekeeper = gatekeeper();
    for guess in 0..LIMITS.failures_per_address {
        // Names that nobody has: it is the address that is slowed.
        assert_eq!(ask(&gatekeeper, &format!("nobody-{guess}"), "x", 1), BAD);
    }
    for (name, password) in [("device", "x"), ("device", "long random"), ("nobody", "x")] {
        assert_eq!(ask(&gatekeeper, name, password, 1), SLOWED, "{name}");
    }
    assert_eq!(ask(&gatekeeper, "device", "long random", 2).as_deref(), Ok("device"));
}

#[test]
fn guessing_from_many_addresses_slows_the_user_but_not_at_home() {
    let gatekeeper = gatekeeper();
    assert_eq!(ask(&gatekeeper, "device", "long random", 1).as_deref(), Ok("device"));
    for from in 0..LIMITS.failures_per_user {
        assert_eq!(ask(&gatekeeper, "device", "guess", 100 + from), BAD);
    }
    assert_eq!(ask(&gatekeeper, "device", "guess", 999), SLOWED);
    assert_eq!(ask(&gatekeeper, "device", "long random", 998), SLOWED, "a right guess tells nothing");
    assert_eq!(ask(&gatekeeper, "device", "long random", 1).as_deref(), Ok("device"), "at home");
    assert_eq!(ask(&gatekeeper, "person", "made up", 998).as_deref(), Ok("person"), "somebody else");
}

#[test]
fn a_flood_of_guesses_does_not_hold_up_who_is_known() {
    let gatekeeper = gatekeeper();
    assert_eq!(ask(&gatekeeper, "person", "made up", 1).as_deref(), Ok("person"));
    block_on(async {
        let guesses: Vec<_> = (0..8).map(|from| applicant("person", "guess", 100 + from)).collect();
        let mut flood = join_all(guesses.iter().map(|guess| gatekeeper.decide(guess)).map(Box::pin));
        assert!((&mut flood).now_or_never().is_none(), "they wait for the thread of passwords");
        for (name, password) in [("person", "made up"), ("device", "long random")] {
            let known = applicant(name, password, 1);
            assert!(gatekeeper.decide(&known).now_or_never().unwrap().is_ok(), "{name} waits for nobody");
        }
        assert!(flood.await.iter().all(Result::is_err));
    });
}

#[test]
fn a_certificate_is_enough_and_a_foreign_name_beside_it_is_not() {
    let gatekeeper = gatekeeper();
    let names = ["unknown".to_owned(), "cn-device".to_owned()];
    let shown = Applicant { certificate_names: Some(&names), password: None, ..applicant("device", "", 1) };
    let decide = |applicant: Applicant<'_>| {
        block_on(gatekeeper.decide(&applicant)).map(|identity| identity.name().to_owned())
    };
    assert_eq!(decide(shown).as_deref(), Ok("device"));
    assert_eq!(decide(Applicant { username: None, ..shown }).as_deref(), Ok("device"));
    assert_eq!(decide(Applicant { username: Some("person"), ..shown }), Err(ReasonCode::NOT_AUTHORIZED));
    // A certificate of our authority that stands for nobody: the password decides.
    let stranger =
        Applicant { certificate_names: Some(&names[..1]), ..applicant("device", "long random", 1) };
    assert_eq!(decide(stranger).as_deref(), Ok("device"));
    assert_eq!(decide(Applicant { password: None, ..stranger }), BAD);
    // The name of a user is no certificate of it.
    let names = ["device".to_owned()];
    assert_eq!(decide(Applicant { certificate_names: Some(&names), ..shown }), BAD);
}

#[test]
fn whoever_is_changed_is_revoked_and_no_remembered_password_survives() {
    let gatekeeper = gatekeeper();
    let before = block_on(gatekeeper.decide(&applicant("device", "long random", 1))).unwrap();
    let changes = gatekeeper.replace(vec![spec("device", StoredPassword::of_plain("new one"))]);
    assert_eq!(changes, UserChanges { added: 0, changed: 1, removed: 1 });
    assert!(before.is_revoked());
    assert_eq!(ask(&gatekeeper, "device", "long random", 1), BAD);
    assert_eq!(ask(&gatekeeper, "device", "new one", 1).as_deref(), Ok("device"));
    assert_eq!(ask(&gatekeeper, "person", "made up", 1), BAD);
}

#[test]
fn ipv6_addresses_count_by_their_network() {
    let network = |text: &str| network(text.parse().unwrap()).to_string();
    assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    assert_eq!(network("10.1.2.3"), "10.1.2.3");
}
