//! From an accepted socket to a connection that may publish: CONNECT, who it is, its session, CONNACK.
//!
//! Invariants: a persistent session exists durably before its CONNACK leaves; the older connection of a client id is gone
//! before the newer one is accepted; all of it is over within the connect timeout, or the socket is closed. (Waiting for
//! the log and for the older connection does not count against the client.)

use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::authenticator::Applicant;
use super::config::EndpointConfig;
use super::identity::Identity;
use super::mailbox::{Kick, Mailbox};
use super::session::{ClientSession, publish_will};
use super::session_registry::{Claim, Kept, OwnedWill};
use super::shard::Shard;
use super::transport::Transport;
use crate::intake::IntakeSource;
use crate::mqtt::encode::{self, ConnackProperties};
use crate::mqtt::{Connect, ConnectError, PacketError, ReasonCode, Version, frame};

/// Bytes of a read while the CONNECT is not whole.
const READ_BYTES: usize = 4096;

/// Why a socket did not become a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("no whole CONNECT in time")]
    Timeout,
    #[error("the connection ended before its CONNECT: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Refused(#[from] ConnectError),
}

impl HandshakeError {
    /// Name in metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            HandshakeError::Timeout => "connect_timeout",
            HandshakeError::Io(_) => "network_error",
            HandshakeError::Refused(refused) => refused.error.reason.name(),
        }
    }
}

/// Who is at the other end, as far as its connection says.
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// See [`Applicant`].
    pub(super) certificate_names: Option<Vec<String>>,
}

/// What was agreed on.
pub(super) struct Agreed {
    pub(super) version: Version,
    pub(super) session: ClientSession,
    pub(super) is_session_present: bool,
    /// The encoded CONNACK; nothing may be sent before it.
    pub(super) connack: Vec<u8>,
    /// Zero: none.
    pub(super) keep_alive: Duration,
    pub(super) receive_maximum: u16,
    pub(super) packet_bytes_max: u32,
    /// What came after the CONNECT.
    pub(super) unread: Vec<u8>,
}

/// Takes the CONNECT and answers it. A refusal is answered here too.
pub(super) async fn shake_hands<S: IntakeSource>(
    shard: &Shard<S>,
    transport: &mut Transport,
    mailbox: &Arc<Mailbox>,
    peer: &Peer,
    deadline: Instant,
) -> Result<Agreed, HandshakeError> {
    let mut unread = Vec::new();
    let read = read_connect(shard, transport, &mut unread, deadline).await;
    shard.hold_partial(unread.len(), 0);
    let packet_len = read?;
    let agreed = agree(shard, mailbox, peer, &unread[..packet_len], deadline).await;
    let mut agreed = match agreed {
        Ok(agreed) => agreed,
        Err(refused) => return Err(refuse(transport, refused, deadline).await),
    };
    agreed.unread = unread.split_off(packet_len);
    Ok(agreed)
}

/// Reads until the first packet is whole and gives its length.
async fn read_connect<S: IntakeSource>(
    shard: &Shard<S>,
    transport: &mut Transport,
    buffer: &mut Vec<u8>,
    deadline: Instant,
) -> Result<usize, HandshakeError> {
    loop {
        let found = frame::split(buffer, shard.config().packet_bytes_max)
            .map(|found| found.map(|(_, rest)| rest.len()));
        match found {
            Ok(Some(rest)) => return Ok(buffer.len() - rest),
            Ok(None) => {}
            Err(error) => {
                return Err(refuse(transport, ConnectError { version: None, error }, deadline).await);
            }
        }
        if buffer.first().is_some_and(|first| *first >> 4 != frame::packet_type::CONNECT) {
            let error = PacketError::protocol("the first packet is no CONNECT [MQTT-3.1.0-1]");
            return Err(ConnectError { version: None, error }.into());
        }
        buffer.reserve(READ_BYTES);
        let before = buffer.len();
        match timeout_at(deadline, transport.read_buf(buffer)).await {
            Err(_) => return Err(HandshakeError::Timeout),
            Ok(Ok(0)) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(read) => read?,
        };
        if !shard.hold_partial(before, buffer.len()) {
            let what = "the server holds too many bytes of unfinished packets";
            let error = PacketError { reason: ReasonCode::QUOTA_EXCEEDED, what };
            return Err(ConnectError { version: None, error }.into());
        }
    }
}

/// Says why not, where the version has a way to.
async fn refuse(transport: &mut Transport, refused: ConnectError, deadline: Instant) -> HandshakeError {
    let mut out = Vec::new();
    if let Some(version) = refused.version {
        encode::put_connack_refusal(&mut out, version, refused.error.reason, refused.error.what);
    }
    let say = async {
        transport.write_all(&out).await?;
        transport.flush().await
    };
    // The refusal is what matters; that it could not be said adds nothing.
    timeout_at(deadline, say).await.ok();
    refused.into()
}

async fn agree<S: IntakeSource>(
    shard: &Shard<S>,
    mailbox: &Arc<Mailbox>,
    peer: &Peer,
    packet: &[u8],
    deadline: Instant,
) -> Result<Agreed, ConnectError> {
    let Ok(Some((frame, _))) = frame::split(packet, usize::MAX) else {
        let error = PacketError::malformed("the packet is not whole");
        return Err(ConnectError { version: None, error });
    };
    let connect = Connect::parse(frame)?;
    let version = connect.version;
    let config = shard.config();
    let refused = |reason, what| ConnectError { version: Some(version), error: PacketError { reason, what } };
    check_limits(config, &connect).map_err(|error| ConnectError { version: Some(version), error })?;
    let client_id = if connect.client_id.is_empty() { new_client_id() } else { connect.client_id.into() };
    let identity = admit(shard, &applicant(peer, &client_id, &connect), deadline)
        .await
        .map_err(|reason| refused(reason, "the client may not connect with these credentials"))?;
    let mut session = ClientSession {
        client_id,
        address: peer.address,
        expiry_seconds: session_expiry_seconds(config, &connect),
        is_stored: false,
        filters: Vec::new(),
        unreleased: Default::default(),
        will: connect.will.map(|will| OwnedWill::new(identity.clone(), will)),
        identity,
    };
    let kept = claim(shard, mailbox, &session).await.map_err(|(reason, what)| refused(reason, what))?;
    let is_session_present = take_up(shard, &mut session, kept, connect.is_clean_start);
    if make_durable(shard, mailbox, &mut session).await.is_none() {
        let client_id = session.client_id.clone();
        shard.common.registry.release(&client_id, session.into_kept(Instant::now()));
        return Err(refused(ReasonCode::SERVER_UNAVAILABLE, "the log cannot be written to"));
    }
    Ok(Agreed {
        version,
        connack: connack(config, &connect, &session, is_session_present),
        session,
        is_session_present,
        keep_alive: keep_alive(config, &connect),
        receive_maximum: connect.receive_maximum,
        packet_bytes_max: connect.packet_bytes_max,
        unread: Vec::new(),
    })
}

fn applicant<'a>(peer: &'a Peer, client_id: &'a str, connect: &Connect<'a>) -> Applicant<'a> {
    Applicant {
        client_id,
        username: connect.username,
        password: connect.password,
        certificate_names: peer.certificate_names.as_deref(),
        address: peer.address,
    }
}

/// Asks who it is, and writes the answer to the audit trail.
async fn admit<S: IntakeSource>(
    shard: &Shard<S>,
    applicant: &Applicant<'_>,
    deadline: Instant,
) -> Result<Arc<Identity>, ReasonCode> {
    let common = &shard.common;
    let answer = timeout_at(deadline, common.authenticator.check(*applicant)).await;
    let admitted = answer.unwrap_or(Err(ReasonCode::SERVER_BUSY));
    match &admitted {
        Ok(identity) => common.audit.connected(applicant, identity),
        Err(reason) => common.audit.connection_refused(applicant, *reason),
    }
    admitted
}

fn check_limits(config: &EndpointConfig, connect: &Connect<'_>) -> Result<(), PacketError> {
    let error = |reason, what| Err(PacketError { reason, what });
    if connect.has_authentication_method {
        return error(
            ReasonCode::BAD_AUTHENTICATION_METHOD,
            "no enhanced authentication here [MQTT-4.12.0-1]",
        );
    }
    if connect.client_id.len() > config.client_id_bytes_max {
        return error(
            ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            "the client identifier is too long [MQTT-3.1.3-8]",
        );
    }
    if connect.client_id.is_empty() && connect.version == Version::V311 && !connect.is_clean_start {
        let what = "no client identifier for a session that persists [MQTT 3.1.1, MQTT-3.1.3-8]";
        return error(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, what);
    }
    let will_topic = connect.will.map_or("", |will| will.topic);
    if will_topic.len() > config.topic_bytes_max || super::publishing::is_servers_topic(will_topic) {
        return error(ReasonCode::TOPIC_NAME_INVALID, "the will's topic is too long or the server's own");
    }
    Ok(())
}

/// The session expiry interval that holds: 3.1.1 knows only whether a session is clean.
fn session_expiry_seconds(config: &EndpointConfig, connect: &Connect<'_>) -> u32 {
    let longest = u32::try_from(config.session_expiry_max.as_secs()).unwrap_or(u32::MAX);
    match connect.version {
        Version::V311 if connect.is_clean_start => 0,
        Version::V311 => longest,
        Version::V5 => connect.session_expiry_seconds.min(longest),
    }
}

/// The keep-alive that holds. 3.1.1 has no way to tell the client another one than its own.
fn keep_alive(config: &EndpointConfig, connect: &Connect<'_>) -> Duration {
    let asked = Duration::from_secs(u64::from(connect.keep_alive_seconds));
    match config.keep_alive_max {
        Some(longest) if connect.version == Version::V5 && (asked.is_zero() || asked > longest) => {
            longest.min(Duration::from_secs(u64::from(u16::MAX)))
        }
        _ => asked,
    }
}

/// Gets the client id, ending whoever of the same user has it, with what the last session left; or why not.
async fn claim<S: IntakeSource>(
    shard: &Shard<S>,
    mailbox: &Arc<Mailbox>,
    session: &ClientSession,
) -> Result<Option<Kept>, (ReasonCode, &'static str)> {
    let (registry, user) = (&shard.common.registry, session.identity.name());
    loop {
        match registry.claim(&session.client_id, user, mailbox, session.is_persistent()) {
            Claim::Granted(kept) => return Ok(kept.map(|kept| *kept)),
            Claim::Full => return Err((ReasonCode::QUOTA_EXCEEDED, "the server keeps no more sessions")),
            Claim::Foreign => {
                let what = "another user is connected with this client identifier";
                return Err((ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, what));
            }
            Claim::Taken(owner) => {
                owner.kick(Kick::TakenOver);
                owner.gone().await;
            }
        }
    }
}

/// Takes up what the last session left, or ends it; says whether it is present.
fn take_up<S: IntakeSource>(
    shard: &Shard<S>,
    session: &mut ClientSession,
    kept: Option<Kept>,
    is_clean_start: bool,
) -> bool {
    let Some(kept) = kept else { return false };
    session.is_stored = true;
    let is_its_own = kept.user.as_deref().is_none_or(|user| user == session.identity.name());
    if !is_clean_start && is_its_own && !kept.is_expired(Instant::now()) {
        // A client that is back within the delay of its will has not been away [MQTT-3.1.3-9].
        session.filters = kept.filters;
        // What it may subscribe to may be less than it was.
        session.filters.retain(|filter| session.identity.may_subscribe(&filter.filter));
        session.unreleased = kept.unreleased;
        return true;
    }
    if let Some((_, will)) = kept.will {
        publish_will(shard, &session.client_id, &will);
    }
    false
}

/// Makes the session's record say what is: it exists, or it does not. `None`: the log failed.
async fn make_durable<S: IntakeSource>(
    shard: &Shard<S>,
    mailbox: &Arc<Mailbox>,
    session: &mut ClientSession,
) -> Option<()> {
    if !session.is_persistent() && !session.is_stored {
        return Some(());
    }
    let record = session.is_persistent().then(|| session.record(0));
    let flush = shard.put_session(&session.client_id, record.as_ref())?;
    shard.durable(flush, mailbox).await.ok()?;
    session.is_stored = session.is_persistent();
    Some(())
}

/// The CONNACK of a connection that is accepted. 5.0 is told what differs from what it asked for.
fn connack(
    config: &EndpointConfig,
    connect: &Connect<'_>,
    session: &ClientSession,
    is_session_present: bool,
) -> Vec<u8> {
    let asked = Duration::from_secs(u64::from(connect.keep_alive_seconds));
    let keep_alive = keep_alive(config, connect);
    let is_expiry_changed = session.expiry_seconds != connect.session_expiry_seconds;
    let properties = ConnackProperties {
        session_expiry_seconds: is_expiry_changed.then_some(session.expiry_seconds),
        receive_maximum: Some(config.receive_maximum),
        packet_bytes_max: u32::try_from(config.packet_bytes_max).ok(),
        assigned_client_id: connect.client_id.is_empty().then_some(&session.client_id),
        topic_alias_maximum: config.topic_alias_max,
        server_keep_alive_seconds: (keep_alive != asked)
            .then(|| u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX)),
    };
    let mut out = Vec::new();
    encode::put_connack(&mut out, connect.version, is_session_present, &properties);
    out
}

/// A client id for a client that gave none: unique among all that are connected, now and after a restart.
fn new_client_id() -> Box<str> {
    use std::hash::{BuildHasher, RandomState};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut id = String::from("auto-");
    for part in [0, 1] {
        // The standard library's random keys: the only source of randomness that is needed here.
        let random = RandomState::new().hash_one((count, part));
        write!(id, "{random:016x}").expect("writing to a String cannot fail");
    }
    id.into()
}
