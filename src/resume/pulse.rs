//! The last sign of life of the program that has written a state, in the state's last bytes.

/// Bytes of a pulse.
pub const PULSE_BYTES: usize = 16;

/// When the program was alive for certain: [`Wall::now_ns`](super::Wall::now_ns) at that time.
///
/// As long as it runs it writes this into memory that the kernel keeps if it is killed. So it stands behind the state's
/// checksum, and has its own: in the byte order of the machine, as no other boot believes it, the time and its complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse(pub i64);

impl Pulse {
    /// The pulse of a state; `None` if there is none, or one of which only a part was written.
    pub fn of(state: &[u8]) -> Option<Self> {
        let (_, bytes) = state.split_last_chunk::<PULSE_BYTES>()?;
        let (time, check) = bytes.split_first_chunk::<8>()?;
        let time_ns = i64::from_ne_bytes(*time);
        let is_whole = i64::from_ne_bytes(*check.first_chunk()?) == !time_ns;
        is_whole.then_some(Self(time_ns))
    }

    /// As it is written.
    pub fn bytes(self) -> [u8; PULSE_BYTES] {
        let mut bytes = [0; PULSE_BYTES];
        bytes[..8].copy_from_slice(&self.0.to_ne_bytes());
        bytes[8..].copy_from_slice(&(!self.0).to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_part_of_it_is_none() {
        for time_ns in [0, 1, -1, 1_700_000_000_123_456_789, i64::MIN, i64::MAX] {
            let bytes = Pulse(time_ns).bytes();
            assert_eq!(Pulse::of(&[b"state", &bytes[..]].concat()), Some(Pulse(time_ns)));
            for at in 0..PULSE_BYTES {
                let mut torn = bytes;
                torn[at] ^= 1;
                assert_eq!(Pulse::of(&torn), None, "byte {at}");
            }
        }
        assert_eq!((Pulse::of(&[0; PULSE_BYTES]), Pulse::of(&[0; 15])), (None, None));
    }
}
