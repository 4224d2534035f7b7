//! All that later output can depend on, as bytes: clock, rule set, devices, newest times, readings in place, states and
//! last stamps. Quiet intervals, profiles, plans and timers follow from these and are made anew.
//!
//! Equal evaluators give equal bytes; bytes of another version, or broken ones, are refused.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::compiled::CompiledRules;
use crate::evaluator::{Core, Evaluator, Limits};
use crate::life::Phase;
use crate::reading::Place;
use crate::rule_set::RuleSet;
use crate::said::EvaluatorConfig;
use crate::schedule::ScheduleEdge;
use crate::series::{Kept, View};
use crate::snapshot_bytes::{Broken, Reader, Writer};
use crate::states::{Mask, RuleId};

/// Version of the bytes.
pub const SNAPSHOT_VERSION: u32 = 2;

const CHECKSUM_BYTES: usize = 32;

/// The snapshot cannot be used; an older one, or the log from its beginning, can.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the snapshot is truncated or damaged")]
    Damaged,
    #[error("the snapshot has version {found}, this build understands {SNAPSHOT_VERSION}")]
    OtherVersion { found: u32 },
    #[error("the snapshot is of log partition {found}, this is {expected}")]
    OtherLog { found: String, expected: String },
    #[error("rule set {n} of the snapshot cannot be had")]
    RuleSet { n: u64, source: Box<dyn std::error::Error + Send + Sync> },
}

impl From<Broken> for SnapshotError {
    fn from(Broken: Broken) -> Self {
        SnapshotError::Damaged
    }
}

impl Evaluator {
    /// The state after the records applied so far.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(SNAPSHOT_VERSION);
        out.text(&partition_text(&self.config));
        out.i64(self.clock_us);
        out.option(self.rule_set_n, |out, n| {
            out.u64(n);
            out.text(self.core.rule_set.digest());
        });
        let since = self.core.rules.rules.iter().map(|rule| rule.since_offset);
        since.for_each(|offset| out.i64(offset));
        self.write_devices(&mut out);
        self.write_places(&mut out);
        self.write_states(&mut out);
        self.write_stamps(&mut out);
        self.write_windows(&mut out);
        self.write_pairs(&mut out);
        self.write_dead_men(&mut out);
        let checksum = Sha256::digest(&out.bytes);
        out.bytes.extend_from_slice(&checksum);
        out.bytes
    }

    /// An evaluator that goes on where a snapshot was taken. `rule_set` gives the rule set of a number and digest.
    ///
    /// # Errors
    /// See [`SnapshotError`].
    pub fn restore<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        config: EvaluatorConfig,
        bytes: &[u8],
        rule_set: impl FnOnce(u64, &str) -> Result<Arc<RuleSet>, E>,
    ) -> Result<Self, SnapshotError> {
        let mut reader = open(bytes, &config)?;
        let mut evaluator = Evaluator::with_limits(config, Limits::default());
        evaluator.clock_us = reader.i64()?;
        if let Some((n, digest)) = reader.option(|reader| Ok((reader.u64()?, reader.text()?)))? {
            let set =
                rule_set(n, digest).map_err(|source| SnapshotError::RuleSet { n, source: source.into() })?;
            if set.digest() != digest {
                return Err(SnapshotError::RuleSet {
                    n,
                    source: format!("it has the digest {}", set.digest()).into(),
                });
            }
            let mut rules = CompiledRules::new(&set, &mut evaluator.core.metrics, 0);
            for rule in &mut rules.rules {
                rule.since_offset = reader.i64()?;
            }
            evaluator.core.set_rules(set, rules);
            evaluator.rule_set_n = Some(n);
        }
        evaluator.read_devices(&mut reader)?;
        evaluator.read_places(&mut reader)?;
        evaluator.read_states(&mut reader)?;
        evaluator.read_stamps(&mut reader)?;
        evaluator.read_windows(&mut reader)?;
        evaluator.read_pairs(&mut reader)?;
        evaluator.read_dead_men(&mut reader)?;
        if !reader.is_empty() {
            return Err(SnapshotError::Damaged);
        }
        let rules = &evaluator.core.rules;
        evaluator.core.states.reset_timers(|rule| rules.get(rule).timing);
        Ok(evaluator)
    }

    pub(crate) fn write_devices(&self, out: &mut Writer) {
        out.len(self.core.devices.len());
        for device in self.core.devices.iter() {
            out.text(&device.id);
            write_place(out, &device.place);
            out.len(device.series.len());
            for (metric, series) in &device.series {
                out.text(&self.core.metrics.get(*metric).name);
                out.i64(self.core.entries[*series as usize].newest_us);
                out.option(self.core.any_ahead_us.get(series), |out, newest_us| out.i64(*newest_us));
            }
        }
    }

    pub(crate) fn read_devices(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        for _ in 0..reader.u32()? {
            let id = reader.text()?;
            let device = self.core.devices.add(id, read_place(reader)?);
            for _ in 0..reader.u32()? {
                let metric = self.core.metric_of(reader.text()?);
                let series = self.core.add_series(device, metric);
                self.core.entries[series as usize].newest_us = reader.i64()?;
                if let Some(newest_us) = reader.option(Reader::i64)? {
                    self.core.any_ahead_us.insert(series, newest_us);
                }
            }
        }
        Ok(())
    }

    fn write_places(&self, out: &mut Writer) {
        out.len(self.core.kept.iter().filter(|kept| kept.has_place()).count());
        for (series, kept) in self.kept_series().filter(|(_, kept)| kept.has_place()) {
            self.write_series(out, series);
            for view in View::BOTH {
                let place = kept.get(view).and_then(|view| view.place.as_ref());
                out.option(place, |out, reading| self.write_reading(out, reading));
            }
        }
    }

    /// What is kept of series, by device and the order of its metrics.
    pub(crate) fn kept_series(&self) -> impl Iterator<Item = (u32, &Kept)> {
        let series =
            self.core.devices.iter().flat_map(|device| device.series.iter().map(|(_, series)| *series));
        series.filter_map(|series| {
            let kept = self.core.series[series as usize].kept?;
            Some((series, &self.core.kept[kept as usize]))
        })
    }

    /// Where what is kept of a series is read to.
    pub(crate) fn kept_mut(&mut self, series: u32) -> &mut Kept {
        let Core { series: all, kept, .. } = &mut self.core;
        let at = *all[series as usize].kept.get_or_insert_with(|| {
            kept.push(Kept::default());
            kept.len() as u32 - 1
        });
        &mut kept[at as usize]
    }

    fn read_places(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        for _ in 0..reader.u32()? {
            let series = self.read_series(reader)?;
            for view in View::BOTH {
                if let Some(reading) = reader.option(|reader| self.read_reading(reader))? {
                    self.kept_mut(series).get_mut(view).place = Some(reading);
                }
            }
        }
        Ok(())
    }

    /// Series by device and the order of its metrics: numbers of series differ after a restore, this order does not.
    pub(crate) fn order_of(&self, series: u32) -> (u32, usize) {
        let device = self.core.series[series as usize].device;
        let at = self.core.devices.get(device).series.iter().position(|(_, known)| *known == series);
        (device, at.unwrap_or(usize::MAX))
    }

    pub(crate) fn write_series(&self, out: &mut Writer, series: u32) {
        let (device, at) = self.order_of(series);
        out.u32(device);
        out.len(at);
    }

    pub(crate) fn read_series(&self, reader: &mut Reader<'_>) -> Result<u32, Broken> {
        let device = self.core.devices.get(reader.below(self.core.devices.len())?);
        let at = reader.below(device.series.len())?;
        Ok(device.series[at as usize].1)
    }

    /// States in the order of their timers, and of lists where that does not say.
    fn write_states(&self, out: &mut Writer) {
        let states = &self.core.states;
        let mut ids: Vec<_> = states.ids().collect();
        ids.sort_unstable_by_key(|id| {
            let state = states.get(*id);
            (clock_of(state.phase), state.rule, state.device)
        });
        out.len(ids.len());
        for id in ids {
            let state = states.get(id);
            out.u32(state.rule);
            out.u32(state.device);
            out.option(state.series, |out, series| self.write_series(out, series));
            write_phase(out, state.phase);
            self.write_episode(out, &state.episode);
            out.option(state.mask, |out, mask| {
                out.i64(mask.evaluated_us);
                out.option(mask.next, |out, edge| out.i64(edge.at_us));
            });
        }
    }

    fn read_states(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        for _ in 0..reader.u32()? {
            let rule = reader.below(self.core.rules.rules.len())?;
            let device = reader.below(self.core.devices.len())?;
            let series = reader.option(|reader| self.read_series(reader))?;
            let phase = read_phase(reader)?;
            let episode = self.read_episode(reader)?;
            let mask = self.read_mask(reader, rule)?;
            let first = match series {
                Some(series) => &mut self.core.series[series as usize].states,
                None => &mut self.core.devices.get_mut(device).states,
            };
            let id = self.core.states.add(rule, device, series, phase, episode, first);
            self.core.states.get_mut(id).mask = mask;
        }
        Ok(())
    }

    fn read_mask(&self, reader: &mut Reader<'_>, rule: RuleId) -> Result<Option<Mask>, Broken> {
        reader.option(|reader| {
            let evaluated_us = reader.i64()?;
            let at_us = reader.option(Reader::i64)?;
            let active = self.core.rules.get(rule).rule.meaning.active.as_ref().ok_or(Broken)?;
            // An edge is where it opens or closes: which of the two follows from the rule.
            let edge = |at_us| ScheduleEdge { at_us, is_opening: active.is_active(at_us) };
            Ok(Mask::new(at_us.map(edge), evaluated_us))
        })
    }

    fn write_stamps(&self, out: &mut Writer) {
        let mut stamps: Vec<_> = self.core.stamps.iter().collect();
        stamps.sort_unstable();
        out.len(stamps.len());
        for ((rule_id, device), stamp_us) in stamps {
            out.text(rule_id);
            out.u32(*device);
            out.i64(*stamp_us);
        }
    }

    fn read_stamps(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        for _ in 0..reader.u32()? {
            let key = (reader.shared_text()?, reader.below(self.core.devices.len())?);
            self.core.stamps.insert(key, reader.i64()?);
        }
        Ok(())
    }
}

/// Checks version, checksum and log partition; what follows is the state.
fn open<'a>(bytes: &'a [u8], config: &EvaluatorConfig) -> Result<Reader<'a>, SnapshotError> {
    let found = Reader::new(bytes).u32()?;
    if found != SNAPSHOT_VERSION {
        return Err(SnapshotError::OtherVersion { found });
    }
    let (state, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(SnapshotError::Damaged)?;
    if Sha256::digest(state)[..] != checksum[..] {
        return Err(SnapshotError::Damaged);
    }
    let mut reader = Reader::new(state);
    reader.u32()?;
    let (found, expected) = (reader.text()?, partition_text(config));
    if found != expected {
        return Err(SnapshotError::OtherLog { found: found.to_owned(), expected });
    }
    Ok(reader)
}

fn partition_text(config: &EvaluatorConfig) -> String {
    format!("{}/{}", config.log_id, config.partition)
}

const fn clock_of(phase: Phase) -> i64 {
    match phase {
        Phase::Pending { clock_us, .. } | Phase::Clearing { clock_us, .. } => clock_us,
        Phase::Idle | Phase::Firing => i64::MIN,
    }
}

fn write_phase(out: &mut Writer, phase: Phase) {
    let (code, times) = match phase {
        Phase::Idle => (0, None),
        Phase::Pending { since_us, clock_us } => (1, Some((since_us, clock_us))),
        Phase::Firing => (2, None),
        Phase::Clearing { since_us, clock_us } => (3, Some((since_us, clock_us))),
    };
    out.byte(code);
    if let Some((since_us, clock_us)) = times {
        out.i64(since_us);
        out.i64(clock_us);
    }
}

fn read_phase(reader: &mut Reader<'_>) -> Result<Phase, Broken> {
    Ok(match reader.byte()? {
        1 => Phase::Pending { since_us: reader.i64()?, clock_us: reader.i64()? },
        2 => Phase::Firing,
        3 => Phase::Clearing { since_us: reader.i64()?, clock_us: reader.i64()? },
        _ => return Err(Broken),
    })
}

pub(crate) fn write_place(out: &mut Writer, place: &Place) {
    [place.domain(), place.asset_id(), place.gateway_id()].into_iter().for_each(|text| out.text(text));
}

pub(crate) fn read_place(reader: &mut Reader<'_>) -> Result<Place, Broken> {
    Ok(Place::new(reader.text()?, reader.text()?, reader.text()?))
}
