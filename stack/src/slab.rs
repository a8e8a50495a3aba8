//! A bounded table of things that are named by index and generation.
//!
//! Hands out names that are never a stranger's: a name goes stale the moment its thing is given up,
//! even while the thing itself lives on in the background.

/// Most things a table of this crate may be asked to hold.
pub(crate) const COUNT_MAX: usize = 1 << 24;

/// Index and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    /// Places that are neither free nor taken.
    retired: usize,
    max: usize,
}

impl<T> Slab<T> {
    /// Room for `max` things; memory is taken as it is needed.
    pub(crate) fn new(max: usize) -> Slab<T> {
        Slab { entries: Vec::new(), free: Vec::new(), retired: 0, max: max.min(u32::MAX as usize) }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len() - self.retired
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() + self.retired >= self.max
    }

    /// Puts a thing in, `None` when the table is full.
    pub(crate) fn insert(&mut self, value: T) -> Option<Name> {
        if let Some(index) = self.free.pop() {
            let entry = &mut self.entries[index as usize];
            entry.value = Some(value);
            return Some(Name { index, generation: entry.generation });
        }
        if self.entries.len() >= self.max {
            return None;
        }
        let index = self.entries.len() as u32;
        self.entries.push(Entry { generation: 0, value: Some(value) });
        Some(Name { index, generation: 0 })
    }

    /// The index, if the name is not stale.
    pub(crate) fn index(&self, name: Name) -> Option<u32> {
        let entry = self.entries.get(name.index as usize)?;
        (entry.generation == name.generation && entry.value.is_some()).then_some(name.index)
    }

    /// The name that is good for this index now.
    pub(crate) fn name(&self, index: u32) -> Name {
        Name { index, generation: self.entries[index as usize].generation }
    }

    /// Makes every name given out so far stale; the thing stays.
    pub(crate) fn disown(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.entries.get_mut(index as usize)?.value.take()?;
        self.disown(index);
        self.free.push(index);
        Some(value)
    }

    /// Removes a thing whose place is never used again.
    pub(crate) fn retire(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        self.retired += usize::from(entry.value.take().is_some());
        self.disown(index);
    }

    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        self.entries.get(index as usize)?.value.as_ref()
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entries.get_mut(index as usize)?.value.as_mut()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().filter_map(|entry| entry.value.as_mut())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().enumerate().filter_map(|(n, e)| Some((n as u32, e.value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_name_never_means_a_stranger() {
        let mut slab = Slab::new(2);
        let first = slab.insert('a').expect("room");
        assert_eq!(slab.remove(first.index), Some('a'));
        let second = slab.insert('b').expect("room");
        assert_eq!(second.index, first.index, "places are used again");
        assert_eq!(slab.index(first), None);
        assert_eq!(slab.index(second), Some(second.index));
    }

    #[test]
    fn a_disowned_thing_lives_on_without_a_name() {
        let mut slab = Slab::new(2);
        let name = slab.insert('a').expect("room");
        slab.disown(name.index);
        assert_eq!(slab.index(name), None);
        assert_eq!(slab.at(name.index), Some(&'a'));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut slab = Slab::new(2);
        assert!(slab.insert(1).is_some() && slab.insert(2).is_some());
        assert!(slab.insert(3).is_none() && slab.is_full());
    }
}
