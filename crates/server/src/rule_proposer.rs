//! Rule files on their way to the newest rule set, on a thread of its own: a hundred thousand rules take seconds to load, and
//! the rules worker must go on evaluating meanwhile. What it is given can be put in force without opening it again.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tracing::{info, warn};

use crate::rule_loader::{RuleLoader, RulePlaces};
use crate::rule_sets::{Newest, RuleSets};

/// Requests that wait for the thread.
const REQUESTS_MAX: usize = 16;

/// What is to be done.
enum Request {
    /// Load the files if they have changed; look whether another worker has made a newer set.
    Look,
    /// Load the files, and make them the newest set.
    Propose { may_return: bool },
    /// The same on somebody's request, who is told what came of it.
    Reload { answer: SyncSender<Result<Newest, String>> },
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Proposed {
    /// The newest rule set now, ready to be put in force.
    pub newest: Option<Newest>,
    /// Where the rules of the files stand, by the digest of their set.
    pub places: Option<(String, Arc<RulePlaces>)>,
}

/// The thread, for the worker. Dropped, it ends with what it is at.
pub struct RuleProposer {
    requests: Option<SyncSender<Request>>,
    outcomes: Receiver<Proposed>,
    pending: usize,
    thread: Option<JoinHandle<()>>,
}

impl RuleProposer {
    /// # Errors
    /// The system gives no thread.
    pub fn start(loader: RuleLoader, rule_sets: RuleSets) -> std::io::Result<Self> {
        let (requests, asked) = sync_channel(REQUESTS_MAX);
        let (sender, outcomes) = sync_channel(REQUESTS_MAX);
        let mut proposing = Proposing { loader, rule_sets, newest: None };
        let thread = std::thread::Builder::new().name("rule loader".to_owned()).spawn(move || {
            for request in asked {
                if sender.send(proposing.serve(request)).is_err() {
                    return;
                }
            }
        })?;
        Ok(RuleProposer { requests: Some(requests), outcomes, pending: 0, thread: Some(thread) })
    }

    /// Looks at the files, unless something is under way: then they are looked at the next time.
    pub fn look(&mut self) {
        if self.pending == 0 {
            // It has room for all that may wait.
            self.request(Request::Look).ok();
        }
    }

    /// Makes the files the newest set.
    pub fn propose(&mut self, may_return: bool) {
        self.request(Request::Propose { may_return }).ok();
    }

    /// The same, and tells what came of it.
    pub fn reload(&mut self, answer: SyncSender<Result<Newest, String>>) {
        if let Err(Request::Reload { answer }) = self.request(Request::Reload { answer }) {
            // Who asked may have gone.
            answer.try_send(Err("rule files are being loaded already, ask again".to_owned())).ok();
        }
    }

    fn request(&mut self, request: Request) -> Result<(), Request> {
        let Some(requests) = &self.requests else { return Err(request) };
        match requests.try_send(request) {
            Ok(()) => {
                self.pending += 1;
                Ok(())
            }
            Err(TrySendError::Full(request) | TrySendError::Disconnected(request)) => Err(request),
        }
    }

    /// What came of the next request; never blocks.
    pub fn poll(&mut self) -> Option<Proposed> {
        let proposed = self.outcomes.try_recv().ok()?;
        self.pending -= 1;
        Some(proposed)
    }

    /// A request is not served yet.
    pub fn is_busy(&self) -> bool {
        self.pending > 0
    }
}

impl Drop for RuleProposer {
    fn drop(&mut self) {
        self.requests = None;
        // Its last outcomes have no taker: without room for them the thread would not end.
        while self.outcomes.recv().is_ok() {}
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by its own thread.
            drop(thread.join());
        }
    }
}

/// What the thread works with.
struct Proposing {
    loader: RuleLoader,
    rule_sets: RuleSets,
    newest: Option<Newest>,
}

impl Proposing {
    fn serve(&mut self, request: Request) -> Proposed {
        match &request {
            Request::Look => self.look(),
            Request::Propose { may_return } => self.propose(*may_return),
            Request::Reload { .. } => self.propose(true),
        }
        self.open_newest();
        if let Request::Reload { answer } = request {
            // Who asked may have gone: nobody misses the answer then.
            answer.try_send(self.outcome()).ok();
        }
        let places = self.loader.places().map(|(digest, places)| (digest.to_owned(), Arc::clone(places)));
        Proposed { newest: self.newest.clone(), places }
    }

    fn look(&mut self) {
        match self.loader.have_changed() {
            Ok(true) => {
                info!("rule files have changed");
                self.propose(true);
            }
            Ok(false) => self.follow_newest(),
            Err(error) => self.loader.say_broken(&error.to_string()),
        }
    }

    /// Loads the files and makes them the newest set; broken files leave the set in force.
    fn propose(&mut self, may_return: bool) {
        if let Some(set) = self.loader.load() {
            match self.rule_sets.propose(&set, may_return) {
                Ok(newest) => self.newest = Some(newest),
                Err(error) => self.loader.say_broken(&error.to_string()),
            }
        }
    }

    /// Another worker may have made a newer set.
    fn follow_newest(&mut self) {
        match self.rule_sets.newest() {
            Ok(newest) => self.newest = newest.or(self.newest.take()),
            Err(error) => warn!(%error, "looking for a newer rule set"),
        }
    }

    /// The worker finds it open when its record comes. One that does not open is told of there, with its place in the log.
    fn open_newest(&self) {
        if let Some(newest) = &self.newest {
            self.rule_sets.compiled(newest.n, &newest.digest).ok();
        }
    }

    fn outcome(&self) -> Result<Newest, String> {
        match (self.loader.trouble(), &self.newest) {
            (Some(cause), _) => Err(cause.to_owned()),
            (None, Some(newest)) => Ok(newest.clone()),
            (None, None) => Err("no rule set was made".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use model::catalog::Catalog;

    use super::*;
    use crate::metric_catalog::SharedCatalog;
    use crate::registry_files::RegistryFiles;
    use crate::rule_files::RuleFiles;
    use crate::state_store::StateStore;

    const PATIENCE: Duration = Duration::from_secs(20);
    const RULE: &str =
        "[[rule]]\nid = \"a\"\ntitle = \"t\"\nseverity = \"info\"\nwhen = \"water_level > 2 m\"\n";

    fn proposer(folder: &Path) -> (RuleProposer, RuleSets) {
        let catalog = Arc::new(Catalog::shipped());
        let loader = RuleLoader::new(
            RuleFiles::new(vec![folder.join("rules.toml")]),
            RegistryFiles::new(None, catalog.clone()),
            Arc::new(SharedCatalog(catalog)),
            "UTC".to_owned(),
        );
        let rule_sets = RuleSets::new(StateStore::new(folder));
        (RuleProposer::start(loader, rule_sets.clone()).unwrap(), rule_sets)
    }

    fn outcome(proposer: &mut RuleProposer) -> Proposed {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(proposed) = proposer.poll() {
                return proposed;
            }
            assert!(Instant::now() < deadline, "in vain: an outcome");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_the_files_say_becomes_the_newest_set_and_a_broken_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.toml");
        fs::write(&file, RULE).unwrap();
        let (mut proposer, rule_sets) = proposer(folder.path());
        assert!(!proposer.is_busy());
        proposer.propose(true);
        assert!(proposer.is_busy());
        let first = outcome(&mut proposer);
        assert!(!proposer.is_busy());
        assert_eq!(first.newest, rule_sets.newest().unwrap());
        assert_eq!(first.newest.as_ref().unwrap().n, 1);
        assert!(first.places.unwrap().1["a"].ends_with("rules.toml:2"));

        fs::write(&file, RULE.replace("2 m", "2 kg")).unwrap();
        proposer.look();
        assert_eq!(outcome(&mut proposer).newest, first.newest);
        let (sender, answer) = sync_channel(1);
        proposer.reload(sender);
        assert!(answer.recv_timeout(PATIENCE).unwrap().unwrap_err().contains("does not convert to m"));
        assert_eq!(outcome(&mut proposer).newest, first.newest);

        fs::write(&file, RULE.replace("2 m", "3 m")).unwrap();
        proposer.look();
        assert_eq!(outcome(&mut proposer).newest.unwrap().n, 2);
    }

    #[test]
    fn what_is_asked_past_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rules.toml"), RULE).unwrap();
        let (mut proposer, _) = proposer(folder.path());
        // Outcomes are not taken: both queues fill, and with the one under way there is room for no more.
        let answers: Vec<_> = (0..3 * REQUESTS_MAX)
            .map(|_| {
                let (sender, receiver) = sync_channel(1);
                proposer.reload(sender);
                receiver
            })
            .collect();
        let last = answers.last().unwrap().recv_timeout(PATIENCE).unwrap();
        assert!(last.unwrap_err().contains("ask again"));
        assert!(answers[0].recv_timeout(PATIENCE).unwrap().is_ok());
    }
}
