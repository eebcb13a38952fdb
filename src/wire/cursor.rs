//! A reader of borrowed bytes that cannot go out of bounds. Numbers are big-endian, as everywhere in BitTorrent.

/// What is still unread of some bytes. A read that needs more than there is gives `None` and reads nothing.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A reader that stands before the first of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// The next two bytes as a number.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four bytes as a number.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(bytes)
    }

    /// All bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Ends the reading: `None` if bytes are left, because whoever wrote them means something that we do not know.
    pub const fn finish(self) -> Option<()> {
        if self.rest.is_empty() { Some(()) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian_and_the_end_is_checked() {
        let mut cursor = Cursor::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!((cursor.u8(), cursor.u16(), cursor.u32()), (Some(1), Some(0x0203), Some(0x0405_0607)));
        assert_eq!(cursor.finish(), None);
        assert_eq!((cursor.bytes(2), cursor.rest()), (Some(&[8, 9][..]), &[10][..]));
        assert_eq!(cursor.finish(), Some(()));
    }

    #[test]
    fn a_read_beyond_the_end_reads_nothing() {
        let mut cursor = Cursor::new(&[1, 2, 3]);
        assert_eq!((cursor.u32(), cursor.bytes(4), cursor.bytes(usize::MAX)), (None, None, None));
        assert_eq!(cursor.array(), Some([1, 2, 3]));
        assert_eq!((cursor.u8(), cursor.bytes(0)), (None, Some(&[][..])));
    }
}
