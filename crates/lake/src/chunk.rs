//! Column chunks of values that repeat: a sorted dictionary and pages of run-length encoded indices, made from runs of
//! equal keys; and of ids that do not, as they are.
//!
//! The rows of a file are sorted by device and metric, so nearly every column of values is a few long runs. The general
//! writer hashes the text of every row again; this one touches a run once. A value is given by its bytes as Parquet
//! stores them, without the length.

use std::cmp::Ordering;

use bytes::Bytes;
use model::EventId;
use parquet::basic::{BoundaryOrder, Compression, Encoding, PageType, Type, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use crate::hybrid::{HybridEncoder, bit_width};
use crate::names::{NO_NAME, NameId};
use crate::schema::{PAGE_ROWS_MAX, ZSTD_LEVEL};

/// A chunk of fewer bytes is not compressed: the frames would be larger than what they save.
const COMPRESS_BYTES_MIN: usize = 512;

/// A column with a longer value gets no statistics: they would repeat it in every page's entry.
const STATISTICS_BYTES_MAX: usize = 256;

/// Encodes one column after the other; keeps its buffers and the compressor between them.
pub(crate) struct ChunkEncoder {
    compressor: zstd::bulk::Compressor<'static>,
    runs: Vec<(NameId, usize)>,
}

/// One data page before compression.
struct RawPage {
    bytes: Vec<u8>,
    rows: usize,
    nulls: usize,
    /// Least and greatest index into the dictionary; `None` when all rows are null.
    range: Option<(u32, u32)>,
}

/// The values of a chunk in order, and each key's place among them.
struct Dictionary<'n> {
    physical: Type,
    values: Vec<&'n [u8]>,
    places: Vec<u32>,
}

impl ChunkEncoder {
    pub(crate) fn try_new() -> std::io::Result<Self> {
        Ok(ChunkEncoder { compressor: zstd::bulk::Compressor::new(ZSTD_LEVEL)?, runs: Vec::new() })
    }

    /// Encodes the column that `runs` make, in row order; the key [`NO_NAME`] is null.
    pub(crate) fn encode<'n>(
        &mut self,
        column: ColumnDescPtr,
        runs: impl Iterator<Item = (NameId, usize)>,
        bytes_of: impl Fn(NameId) -> &'n [u8],
    ) -> Result<(Bytes, ColumnCloseResult)> {
        self.runs.clear();
        for (key, rows) in runs {
            match self.runs.last_mut() {
                Some((last, count)) if *last == key => *count += rows,
                _ => self.runs.push((key, rows)),
            }
        }
        let dictionary = Dictionary::of(column.physical_type(), &self.runs, bytes_of);
        let pages = self.raw_pages(&dictionary, column.max_def_level() > 0);
        self.write_chunk(column, &dictionary, &pages)
    }

    /// Encodes a required column of ids as they are: no statistics, since nobody asks for a range of them.
    pub(crate) fn encode_ids(
        &mut self,
        column: ColumnDescPtr,
        ids: &[EventId],
    ) -> Result<(Bytes, ColumnCloseResult)> {
        self.encode_plain(column, ids, &[])
    }

    /// Encodes a required column of int64 as they are: where a stretch of numbers comes again for the next metric of a
    /// device, zstd sees it, and would not through deltas.
    pub(crate) fn encode_numbers(
        &mut self,
        column: ColumnDescPtr,
        numbers: &[i64],
    ) -> Result<(Bytes, ColumnCloseResult)> {
        let bytes: Vec<[u8; 8]> = numbers.iter().map(|number| number.to_le_bytes()).collect();
        let ranges: Vec<(i64, i64)> = numbers.chunks(PAGE_ROWS_MAX).filter_map(range_of).collect();
        self.encode_plain(column, &bytes, &ranges)
    }

    /// `ranges`: least and greatest number of each page, or nothing where there are to be no statistics.
    fn encode_plain<const N: usize>(
        &mut self,
        column: ColumnDescPtr,
        values: &[[u8; N]],
        ranges: &[(i64, i64)],
    ) -> Result<(Bytes, ColumnCloseResult)> {
        let mut sink = TrackedWrite::new(Vec::with_capacity(size_of_val(values)));
        let mut writer = SerializedPageWriter::new(&mut sink);
        let mut offsets = OffsetIndexBuilder::new();
        let mut columns = ColumnIndexBuilder::new(column.physical_type());
        let mut uncompressed_bytes = 0;
        for (page, page_values) in values.chunks(PAGE_ROWS_MAX).enumerate() {
            let raw = page_values.as_flattened();
            let buf = self.compress(raw, true)?;
            let written = writer.write_page(CompressedPage::new(
                data_page(buf, page_values.len(), Encoding::PLAIN),
                raw.len(),
            ))?;
            uncompressed_bytes += written.uncompressed_size;
            offsets.append_offset_and_size(written.offset as i64, written.compressed_size as i32);
            offsets.append_row_count(page_values.len() as i64);
            if let Some((least, greatest)) = ranges.get(page) {
                columns.append(false, least.to_le_bytes().into(), greatest.to_le_bytes().into(), 0, None);
            }
        }
        let bytes = Bytes::from(sink.into_inner()?);
        let pages = values.len().div_ceil(PAGE_ROWS_MAX) as i32;
        let stats =
            PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: Encoding::PLAIN, count: pages };
        let mut metadata = ColumnChunkMetaData::builder(column)
            .set_compression(compression(true)?)
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE])
            .set_page_encoding_stats(vec![stats])
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(uncompressed_bytes as i64)
            .set_num_values(values.len() as i64)
            .set_data_page_offset(0);
        let least = ranges.iter().map(|range| range.0).min();
        let greatest = ranges.iter().map(|range| range.1).max();
        if least.is_some() {
            metadata = metadata.set_statistics(Statistics::int64(least, greatest, None, Some(0), false));
        }
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: values.len() as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: if ranges.is_empty() { None } else { Some(columns.build()?) },
            offset_index: Some(offsets.build()),
        };
        Ok((bytes, close))
    }

    fn raw_pages(&self, dictionary: &Dictionary<'_>, is_optional: bool) -> Vec<RawPage> {
        let mut pages = Vec::new();
        let mut page_runs = Vec::new();
        let mut room = PAGE_ROWS_MAX;
        for &(key, mut rows) in &self.runs {
            while rows > 0 {
                let taken = rows.min(room);
                page_runs.push((key, taken));
                rows -= taken;
                room -= taken;
                if room == 0 {
                    pages.push(raw_page(&page_runs, dictionary, is_optional));
                    page_runs.clear();
                    room = PAGE_ROWS_MAX;
                }
            }
        }
        if !page_runs.is_empty() {
            pages.push(raw_page(&page_runs, dictionary, is_optional));
        }
        pages
    }

    fn write_chunk(
        &mut self,
        column: ColumnDescPtr,
        dictionary: &Dictionary<'_>,
        pages: &[RawPage],
    ) -> Result<(Bytes, ColumnCloseResult)> {
        let dictionary_page = dictionary.plain();
        let raw_bytes = dictionary_page.len() + pages.iter().map(|page| page.bytes.len()).sum::<usize>();
        let is_compressed = raw_bytes >= COMPRESS_BYTES_MIN;
        let mut sink = TrackedWrite::new(Vec::with_capacity(raw_bytes));
        let mut writer = SerializedPageWriter::new(&mut sink);
        let mut index = PageIndex::new(&column, dictionary);
        let mut uncompressed_bytes = 0;

        let page = Page::DictionaryPage {
            buf: self.compress(&dictionary_page, is_compressed)?,
            num_values: dictionary.values.len() as u32,
            encoding: Encoding::PLAIN,
            is_sorted: true,
        };
        let written = writer.write_page(CompressedPage::new(page, dictionary_page.len()))?;
        uncompressed_bytes += written.uncompressed_size;
        let data_page_offset = written.bytes_written as i64;

        for raw in pages {
            let page =
                data_page(self.compress(&raw.bytes, is_compressed)?, raw.rows, Encoding::RLE_DICTIONARY);
            let written = writer.write_page(CompressedPage::new(page, raw.bytes.len()))?;
            uncompressed_bytes += written.uncompressed_size;
            index.add(raw, written.offset as i64, written.compressed_size as i32);
        }
        let bytes = Bytes::from(sink.into_inner()?);
        let metadata = ColumnChunkMetaData::builder(column)
            .set_compression(compression(is_compressed)?)
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
            .set_page_encoding_stats(encoding_stats(pages.len()))
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(uncompressed_bytes as i64)
            .set_num_values(index.rows as i64)
            .set_dictionary_page_offset(Some(0))
            .set_data_page_offset(data_page_offset);
        let close = index.close(metadata, bytes.len())?;
        Ok((bytes, close))
    }

    fn compress(&mut self, bytes: &[u8], is_compressed: bool) -> Result<Bytes> {
        if !is_compressed {
            return Ok(Bytes::copy_from_slice(bytes));
        }
        self.compressor
            .compress(bytes)
            .map(Bytes::from)
            .map_err(|error| ParquetError::External(Box::new(error)))
    }
}

fn range_of(numbers: &[i64]) -> Option<(i64, i64)> {
    Some((*numbers.iter().min()?, *numbers.iter().max()?))
}

fn data_page(buf: Bytes, rows: usize, encoding: Encoding) -> Page {
    Page::DataPage {
        buf,
        num_values: rows as u32,
        encoding,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    }
}

fn compression(is_compressed: bool) -> Result<Compression> {
    if is_compressed {
        Ok(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
    } else {
        Ok(Compression::UNCOMPRESSED)
    }
}

fn encoding_stats(data_pages: usize) -> Vec<PageEncodingStats> {
    let stats = |page_type, encoding, count| PageEncodingStats { page_type, encoding, count };
    vec![
        stats(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1),
        stats(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, data_pages as i32),
    ]
}

/// Definition levels where the column is optional, then the width of the indices and the indices.
fn raw_page(runs: &[(NameId, usize)], dictionary: &Dictionary<'_>, is_optional: bool) -> RawPage {
    let mut bytes = Vec::new();
    if is_optional {
        bytes.extend_from_slice(&[0; 4]);
        let mut levels = HybridEncoder::new(&mut bytes, 1);
        runs.iter().for_each(|&(key, rows)| levels.put(u32::from(key != NO_NAME), rows));
        levels.finish();
        let len = (bytes.len() - 4) as u32;
        bytes[..4].copy_from_slice(&len.to_le_bytes());
    }
    let width = bit_width((dictionary.values.len() as u32).saturating_sub(1));
    bytes.push(width as u8);
    let mut indices = HybridEncoder::new(&mut bytes, width);
    let (mut rows, mut nulls, mut range) = (0, 0, None);
    for &(key, count) in runs {
        rows += count;
        if key == NO_NAME {
            nulls += count;
            continue;
        }
        let place = dictionary.places[key as usize];
        indices.put(place, count);
        let (least, greatest) = range.unwrap_or((place, place));
        range = Some((place.min(least), place.max(greatest)));
    }
    indices.finish();
    RawPage { bytes, rows, nulls, range }
}

impl<'n> Dictionary<'n> {
    fn of(physical: Type, runs: &[(NameId, usize)], bytes_of: impl Fn(NameId) -> &'n [u8]) -> Self {
        let keys = || runs.iter().map(|&(key, _)| key).filter(|&key| key != NO_NAME);
        let mut places = vec![NO_NAME; keys().max().map_or(0, |max| max as usize + 1)];
        let mut values: Vec<(&'n [u8], NameId)> = Vec::new();
        for key in keys() {
            if places[key as usize] == NO_NAME {
                places[key as usize] = 0;
                values.push((bytes_of(key), key));
            }
        }
        // Device ids come in order already, which this sort sees in one pass.
        values.sort_by(|(a, _), (b, _)| compare(physical, a, b));
        for (place, &(_, key)) in values.iter().enumerate() {
            places[key as usize] = place as u32;
        }
        Dictionary { physical, values: values.into_iter().map(|(value, _)| value).collect(), places }
    }

    fn plain(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.values.iter().map(|value| value.len() + 4).sum());
        for value in &self.values {
            if self.physical == Type::BYTE_ARRAY {
                bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            }
            bytes.extend_from_slice(value);
        }
        bytes
    }

    fn has_statistics(&self) -> bool {
        self.values.iter().all(|value| value.len() <= STATISTICS_BYTES_MAX)
    }

    fn statistics(&self, nulls: usize) -> Statistics {
        let (least, greatest) = (self.values.first().copied(), self.values.last().copied());
        let nulls = Some(nulls as u64);
        match self.physical {
            Type::DOUBLE => Statistics::double(least.map(double), greatest.map(double), None, nulls, false),
            Type::INT32 => Statistics::int32(least.map(int32), greatest.map(int32), None, nulls, false),
            _ => {
                let text = |value: &[u8]| ByteArray::from(value.to_vec());
                Statistics::byte_array(least.map(text), greatest.map(text), None, nulls, false)
            }
        }
    }
}

fn compare(physical: Type, a: &[u8], b: &[u8]) -> Ordering {
    match physical {
        Type::DOUBLE => double(a).total_cmp(&double(b)),
        Type::INT32 => int32(a).cmp(&int32(b)),
        _ => a.cmp(b),
    }
}

/// A value that has not the bytes of its type reads as 0; none is ever made.
fn double(bytes: &[u8]) -> f64 {
    bytes.try_into().map(f64::from_le_bytes).unwrap_or_default()
}

fn int32(bytes: &[u8]) -> i32 {
    bytes.try_into().map(i32::from_le_bytes).unwrap_or_default()
}

/// Gathers where the pages are and what is in them.
struct PageIndex<'d> {
    dictionary: &'d Dictionary<'d>,
    columns: ColumnIndexBuilder,
    offsets: OffsetIndexBuilder,
    rows: usize,
    nulls: usize,
    /// Least and greatest index of each page that has values.
    ranges: Vec<(u32, u32)>,
}

impl<'d> PageIndex<'d> {
    fn new(column: &ColumnDescPtr, dictionary: &'d Dictionary<'d>) -> Self {
        let columns = ColumnIndexBuilder::new(column.physical_type());
        PageIndex {
            dictionary,
            columns,
            offsets: OffsetIndexBuilder::new(),
            rows: 0,
            nulls: 0,
            ranges: Vec::new(),
        }
    }

    fn add(&mut self, page: &RawPage, offset: i64, bytes: i32) {
        let value = |place: u32| self.dictionary.values[place as usize].to_vec();
        let (least, greatest) = page.range.map_or_else(Default::default, |(a, b)| (value(a), value(b)));
        let nans = (self.dictionary.physical == Type::DOUBLE).then_some(0);
        self.columns.append(page.range.is_none(), least, greatest, page.nulls as i64, nans);
        self.offsets.append_offset_and_size(offset, bytes);
        self.offsets.append_row_count(page.rows as i64);
        self.ranges.extend(page.range);
        self.rows += page.rows;
        self.nulls += page.nulls;
    }

    fn close(
        mut self,
        mut metadata: parquet::file::metadata::ColumnChunkMetaDataBuilder,
        bytes: usize,
    ) -> Result<ColumnCloseResult> {
        let mut column_index = None;
        if self.dictionary.has_statistics() {
            let is_rising =
                self.ranges.windows(2).all(|pages| pages[0].0 <= pages[1].0 && pages[0].1 <= pages[1].1);
            let order = if is_rising { BoundaryOrder::ASCENDING } else { BoundaryOrder::UNORDERED };
            self.columns.set_boundary_order(order);
            column_index = Some(self.columns.build()?);
            metadata = metadata.set_statistics(self.dictionary.statistics(self.nulls));
        }
        Ok(ColumnCloseResult {
            bytes_written: bytes as u64,
            rows_written: self.rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index,
            offset_index: Some(self.offsets.build()),
        })
    }
}
