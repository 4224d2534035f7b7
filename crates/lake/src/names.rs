//! Texts interned to small numbers, so that a row holds numbers and an equal text stands once.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Number of a text in [`Names`].
pub(crate) type NameId = u32;

/// No text: the column is null.
pub(crate) const NO_NAME: NameId = NameId::MAX;

/// Interned byte strings; ids count up from 0.
#[derive(Default)]
pub(crate) struct Names {
    bytes: Vec<u8>,
    /// End of each name in `bytes`; it starts where the one before it ends.
    ends: Vec<usize>,
    index: HashTable<NameId>,
    hasher: DefaultHashBuilder,
}

impl Names {
    /// The id of a text, new or known.
    pub(crate) fn intern(&mut self, name: &[u8]) -> NameId {
        let hash = self.hasher.hash_one(name);
        let Names { bytes, ends, index, hasher } = self;
        if let Some(&id) = index.find(hash, |&id| slice(bytes, ends, id) == name) {
            return id;
        }
        let id = ends.len() as NameId;
        bytes.extend_from_slice(name);
        ends.push(bytes.len());
        index.insert_unique(hash, id, |&id| hasher.hash_one(slice(bytes, ends, id)));
        id
    }

    /// As [`Names::intern`], and [`NO_NAME`] for the empty text.
    pub(crate) fn intern_some(&mut self, name: &[u8]) -> NameId {
        if name.is_empty() { NO_NAME } else { self.intern(name) }
    }

    /// The text of an id; empty for [`NO_NAME`].
    #[inline]
    pub(crate) fn get(&self, id: NameId) -> &[u8] {
        if id == NO_NAME { &[] } else { slice(&self.bytes, &self.ends, id) }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// For each id its rank among all names, by bytes.
    pub(crate) fn ranks(&self) -> Vec<u32> {
        self.ranks_of(0..self.len() as NameId)
    }

    /// For each of the given ids, which may repeat, its rank among them; 0 for other ids.
    pub(crate) fn ranks_of(&self, ids: impl Iterator<Item = NameId>) -> Vec<u32> {
        let mut is_given = vec![false; self.len()];
        let mut sorted: Vec<NameId> =
            ids.filter(|&id| !std::mem::replace(&mut is_given[id as usize], true)).collect();
        sorted.sort_unstable_by(|&a, &b| self.get(a).cmp(self.get(b)));
        let mut ranks = vec![0; self.len()];
        for (rank, id) in sorted.into_iter().enumerate() {
            ranks[id as usize] = rank as u32;
        }
        ranks
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.index.allocation_size()
    }
}

#[inline]
fn slice<'a>(bytes: &'a [u8], ends: &[usize], id: NameId) -> &'a [u8] {
    let start = if id == 0 { 0 } else { ends[id as usize - 1] };
    &bytes[start..ends[id as usize]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_id_and_keeps_it() {
        let mut names = Names::default();
        let ids: Vec<NameId> =
            (0..1000).map(|n: u32| names.intern(format!("name-{}", n % 300).as_bytes())).collect();
        assert_eq!(names.len(), 300);
        for (n, id) in ids.into_iter().enumerate() {
            assert_eq!(names.get(id), format!("name-{}", n % 300).as_bytes());
        }
        assert_eq!(names.intern_some(b""), NO_NAME);
        assert_eq!(names.get(NO_NAME), b"");
    }
}
