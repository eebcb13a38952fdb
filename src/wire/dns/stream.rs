//! Messages on a stream (RFC 1035, 4.2.2): each has its length before it, in two bytes.

use crate::base::limits::DNS_MESSAGE_BYTES_MAX;
use alloc::vec::Vec;

/// Bytes before a message.
const LENGTH_BYTES: usize = 2;
/// Where a message has the flag that says that it is [`TRUNCATED`].
const FLAGS_AT: usize = 2;
/// Its bit.
const TRUNCATED: u8 = 0x02;

/// `message` as it goes onto a stream. A question is a few hundred bytes at most.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), message].concat()
}

/// Puts one message together from the pieces in which it comes, however small they are. Of a message longer than
/// [`DNS_MESSAGE_BYTES_MAX`] the beginning will do: it is marked as truncated.
#[derive(Debug, Default)]
pub struct StreamReader(Vec<u8>);

impl StreamReader {
    /// Takes bytes in and answers the message when it is there. What follows it is ignored.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        let room = (LENGTH_BYTES + DNS_MESSAGE_BYTES_MAX).saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let (length, message) = self.0.split_first_chunk_mut::<LENGTH_BYTES>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let message = message.get_mut(..length.min(DNS_MESSAGE_BYTES_MAX))?;
        if length > DNS_MESSAGE_BYTES_MAX
            && let Some(flags) = message.get_mut(FLAGS_AT)
        {
            *flags |= TRUNCATED;
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_put_together_from_any_pieces() {
        let stream = [&framed(b"the message")[..], b"\0\x03and"].concat();
        for size in 1..=stream.len() {
            let mut reader = StreamReader::default();
            let mut got: Option<Vec<u8>> = None;
            for piece in stream.chunks(size) {
                got = got.or_else(|| reader.on_bytes(piece).map(Into::into));
            }
            assert_eq!(got.as_deref(), Some(&b"the message"[..]), "pieces of {size}");
        }
        assert_eq!(StreamReader::default().on_bytes(&[0, 0]), Some(&[][..]), "an empty one is one, too");
    }

    #[test]
    fn of_a_long_message_the_beginning_is_kept_and_marked() {
        let mut reader = StreamReader::default();
        assert_eq!(reader.on_bytes(&[0xff]), None);
        for fed in 0.. {
            assert!(fed < 10, "it would wait for all of it");
            if let Some(message) = reader.on_bytes(&[0xf1; 1000]) {
                assert_eq!(
                    (message.len(), message[1], message[FLAGS_AT]),
                    (DNS_MESSAGE_BYTES_MAX, 0xf1, 0xf3)
                );
                break;
            }
        }
        assert_eq!(reader.0.len(), DNS_MESSAGE_BYTES_MAX + LENGTH_BYTES);
    }
}
