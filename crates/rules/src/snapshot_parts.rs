//! The parts of a snapshot that rules of some kinds only need: episodes, windows, counted hits, watches.

use crate::compiled::Shape;
use crate::condition::Value;
use crate::dead_man::{Alive, Watch};
use crate::devices::DeviceId;
use crate::evaluator::Evaluator;
use crate::reading::{Cause, Episode, PlacedReading};
use crate::series::View;
use crate::snapshot::{read_place, write_place};
use crate::snapshot_bytes::{Broken, Reader, Writer};
use crate::states::RuleId;
use crate::windows::{WindowReading, WindowReadings};

impl Evaluator {
    pub(crate) fn write_episode(&self, out: &mut Writer, episode: &Episode) {
        let Episode { cause, evidence, place, location, started_us, raised_us, edge_us } = episode;
        match cause {
            Cause::Reading(reading) => {
                out.byte(0);
                self.write_reading(out, reading);
            }
            Cause::Silence { last_us } => {
                out.byte(1);
                out.i64(*last_us);
            }
        }
        out.len(evidence.len());
        evidence.iter().for_each(|reading| self.write_reading(out, reading));
        write_place(out, place);
        out.option(*location, write_location);
        out.i64(*started_us);
        out.option(*raised_us, Writer::i64);
        out.option(*edge_us, Writer::i64);
    }

    pub(crate) fn read_episode(&mut self, reader: &mut Reader<'_>) -> Result<Episode, Broken> {
        Ok(Episode {
            cause: match reader.byte()? {
                0 => Cause::Reading(self.read_reading(reader)?),
                1 => Cause::Silence { last_us: reader.i64()? },
                _ => return Err(Broken),
            },
            evidence: reader.list(|reader| self.read_reading(reader))?,
            place: read_place(reader)?,
            location: reader.option(read_location)?,
            started_us: reader.i64()?,
            raised_us: reader.option(Reader::i64)?,
            edge_us: reader.option(Reader::i64)?,
        })
    }

    pub(crate) fn write_reading(&self, out: &mut Writer, reading: &PlacedReading) {
        out.bytes.extend_from_slice(&reading.event_id);
        out.u32(reading.reading_index);
        out.text(&self.core.metrics.get(reading.metric).name);
        match &reading.value {
            Value::Number(number) => {
                out.byte(0);
                out.f64(*number);
            }
            Value::Boolean(boolean) => {
                out.byte(1);
                out.byte(u8::from(*boolean));
            }
            Value::Text(text) => {
                out.byte(2);
                out.text(text);
            }
        }
        out.option(reading.unit.as_deref(), Writer::text);
        out.i64(reading.observed_at_us);
        out.i64(reading.log_offset);
    }

    pub(crate) fn read_reading(&mut self, reader: &mut Reader<'_>) -> Result<PlacedReading, Broken> {
        Ok(PlacedReading {
            event_id: reader.array()?,
            reading_index: reader.u32()?,
            metric: self.core.metric_of(reader.text()?),
            value: match reader.byte()? {
                0 => Value::Number(reader.f64()?),
                1 => Value::Boolean(reader.byte()? == 1),
                2 => Value::Text(reader.text()?.into()),
                _ => return Err(Broken),
            },
            unit: reader.option(Reader::shared_text)?,
            observed_at_us: reader.i64()?,
            log_offset: reader.i64()?,
        })
    }

    pub(crate) fn write_windows(&self, out: &mut Writer) {
        out.len(self.core.kept.iter().filter(|kept| kept.has_window()).count());
        for (series, kept) in self.kept_series().filter(|(_, kept)| kept.has_window()) {
            self.write_series(out, series);
            for view in View::BOTH {
                let readings = kept.get(view).map(|view| view.window.iter());
                out.len(readings.as_ref().map_or(0, ExactSizeIterator::len));
                for reading in readings.into_iter().flatten() {
                    out.i64(reading.observed_at_us);
                    out.f64(reading.value);
                    out.i64(reading.log_offset);
                }
            }
        }
    }

    pub(crate) fn read_windows(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        for _ in 0..reader.u32()? {
            let series = self.read_series(reader)?;
            for view in View::BOTH {
                let read = reader.list(|reader| {
                    let observed_at_us = reader.i64()?;
                    Ok(WindowReading { observed_at_us, value: reader.f64()?, log_offset: reader.i64()? })
                });
                let read: WindowReadings = read?.into_iter().collect();
                if read.iter().len() > 0 {
                    self.kept_mut(series).get_mut(view).window = read;
                }
            }
        }
        Ok(())
    }

    /// What is kept by (rule, device) whether or not there is a state.
    pub(crate) fn write_pairs(&self, out: &mut Writer) {
        let mut hits: Vec<_> = self.core.hits.iter().collect();
        hits.sort_unstable();
        out.len(hits.len());
        for (pair, hits) in hits {
            write_pair(out, *pair);
            out.u64(*hits);
        }
        let mut since: Vec<_> = self.core.since.iter().collect();
        since.sort_unstable();
        out.len(since.len());
        for (pair, since) in since {
            write_pair(out, *pair);
            out.i64(*since);
        }
    }

    pub(crate) fn read_pairs(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        for _ in 0..reader.u32()? {
            let pair = self.read_pair(reader)?;
            self.core.hits.insert(pair, reader.u64()?);
        }
        for _ in 0..reader.u32()? {
            let pair = self.read_pair(reader)?;
            self.core.since.insert(pair, reader.i64()?);
        }
        Ok(())
    }

    fn read_pair(&self, reader: &mut Reader<'_>) -> Result<(RuleId, DeviceId), Broken> {
        Ok((reader.below(self.core.rules.rules.len())?, reader.below(self.core.devices.len())?))
    }

    pub(crate) fn write_dead_men(&self, out: &mut Writer) {
        let dead_men = &self.core.dead_men;
        out.i64(dead_men.alive.total_us);
        out.option(dead_men.alive.gateway_us, Writer::i64);
        let mut watches: Vec<_> = dead_men.iter().collect();
        watches.sort_unstable_by_key(|(key, _)| *key);
        out.len(watches.len());
        for (key, watch) in watches {
            write_pair(out, key);
            out.i64(watch.last_us);
            out.i64(watch.last_alive_us);
            out.byte(u8::from(watch.is_provisional));
            out.option(watch.missed_us, Writer::i64);
            out.option(self.core.silences.get(&key), |out, episode| self.write_episode(out, episode));
        }
        let mut locations: Vec<_> = self.core.locations.iter().collect();
        locations.sort_unstable_by_key(|(device, _)| **device);
        out.len(locations.len());
        for (device, location) in locations {
            out.u32(*device);
            write_location(out, *location);
        }
    }

    pub(crate) fn read_dead_men(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        self.core.dead_men.alive = Alive { total_us: reader.i64()?, gateway_us: reader.option(Reader::i64)? };
        for _ in 0..reader.u32()? {
            let key = self.read_pair(reader)?;
            let watch = Watch {
                last_us: reader.i64()?,
                last_alive_us: reader.i64()?,
                is_provisional: reader.byte()? == 1,
                missed_us: reader.option(Reader::i64)?,
            };
            let Shape::DeadMan { span_us, .. } = self.core.rules.get(key.0).shape else {
                return Err(Broken);
            };
            self.core.dead_men.add(key, watch, span_us);
            self.core.dead_men.add_stray(key.1);
            if let Some(episode) = reader.option(|reader| self.read_episode(reader))? {
                self.core.silences.insert(key, episode);
            }
        }
        for _ in 0..reader.u32()? {
            let device = reader.below(self.core.devices.len())?;
            self.core.locations.insert(device, read_location(reader)?);
        }
        Ok(())
    }
}

fn write_pair(out: &mut Writer, (rule, device): (RuleId, DeviceId)) {
    out.u32(rule);
    out.u32(device);
}

fn write_location(out: &mut Writer, (latitude, longitude): (f64, f64)) {
    out.f64(latitude);
    out.f64(longitude);
}

fn read_location(reader: &mut Reader<'_>) -> Result<(f64, f64), Broken> {
    Ok((reader.f64()?, reader.f64()?))
}
