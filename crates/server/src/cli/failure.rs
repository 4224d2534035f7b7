//! How a command ends when it does not end well.

use std::process::ExitCode;

/// Exit codes: 0 done, 1 failed, 2 usage or config.
#[derive(Debug)]
pub enum Failure {
    /// The command line or the config is wrong; each line of the text stands for itself.
    Usage(String),
    /// It was tried and failed.
    Failed(anyhow::Error),
    /// It was tried, and the answer, printed already, is no.
    Negative,
    /// Whoever read our output has had enough of it.
    OutputClosed,
}

impl Failure {
    /// Says what went wrong, on stderr, and gives the exit code.
    pub fn report(self) -> ExitCode {
        match self {
            Failure::Usage(text) => {
                eprintln!("{text}");
                ExitCode::from(2)
            }
            Failure::Failed(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(1)
            }
            Failure::Negative => ExitCode::from(1),
            Failure::OutputClosed => ExitCode::SUCCESS,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let is_closed = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
        if error.downcast_ref::<std::io::Error>().is_some_and(is_closed) {
            Failure::OutputClosed
        } else {
            Failure::Failed(error)
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::from(anyhow::Error::from(error))
    }
}
