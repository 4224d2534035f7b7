//! The files of the TLS listener are looked at while the process runs: a new certificate, authority or revocation list is in
//! force for the next connection. What cannot be used changes nothing.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway::mqtt_endpoint::TlsInForce;
use tracing::{error, info};

use crate::config::ServerTls;
use crate::settled_files::SettledFiles;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Follows the files until `stop`.
///
/// # Errors
/// None: what is wrong with a file is said, and what was in force stays.
pub fn follow(files: &ServerTls, tls: &TlsInForce, stop: &AtomicBool) -> Result<(), Infallible> {
    let paths: Vec<PathBuf> = [Some(&files.certificate_path), Some(&files.key_path)]
        .into_iter()
        .chain([files.client_ca_path.as_ref(), files.client_crl_path.as_ref()])
        .flatten()
        .cloned()
        .collect();
    let broken = metrics::gauge!("urban_neuron_mqtt_endpoint_tls_broken");
    let (mut settled, mut said) = (SettledFiles::default(), None);
    while !stop.load(Ordering::Relaxed) {
        let looked = settled.have_settled(paths.clone());
        let reloaded = match looked {
            Ok(false) => None,
            Ok(true) => Some(tls.reload().map_err(|error| error.to_string())),
            Err((path, error)) => Some(Err(format!("{}: {error}", path.display()))),
        };
        match reloaded {
            None => {}
            Some(Ok(())) => {
                broken.set(0.0);
                said = None;
                info!(target: "audit", event = "tls_read", "the files of the TLS listener were read");
            }
            Some(Err(cause)) => {
                broken.set(1.0);
                if said.as_ref() != Some(&cause) {
                    error!(
                        cause,
                        "the files of the TLS listener cannot be used, those before them stay in force"
                    );
                    said = Some(cause);
                }
            }
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    Ok(())
}
