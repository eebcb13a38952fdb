//! Sizes in words, and how sizes, rates and times are shown to people.

use core::fmt;
use core::time::Duration;

/// 1,024 bytes.
pub const KIB: u32 = 1 << 10;
/// 1,048,576 bytes.
pub const MIB: u32 = 1 << 20;

/// Shows bytes as `812 B`, `43.0 KiB`, `1.5 MiB`, `3.70 GiB`, `1.25 TiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, usize); 5] = [("KiB", 1), ("MiB", 1), ("GiB", 2), ("TiB", 2), ("PiB", 2)];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut unit = 0;
        let mut divisor = 1024.0;
        let bytes = self.0 as f64;
        // 1023.95 KiB would be written "1024.0 KiB": go on to the next unit a little early.
        while bytes / divisor >= 1023.95 && unit + 1 < UNITS.len() {
            divisor *= 1024.0;
            unit += 1;
        }
        let (name, digits) = UNITS[unit];
        write!(f, "{:.*} {name}", digits, bytes / divisor)
    }
}

/// Shows a time span as `7 s`, `3 m 20 s`, `2 h 05 m`, `3 d 04 h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{} m {:02} s", seconds / 60, seconds % 60),
            3600..86_400 => write!(f, "{} h {:02} m", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{} d {:02} h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_well() {
        let cases: [(u64, &str); 8] = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_572_864, "1.5 MiB"),
            ((3 << 30) + (1 << 29), "3.50 GiB"),
            (5 << 40, "5.00 TiB"),
            (u64::MAX, "16384.00 PiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn spans_read_well() {
        let cases = [(0, "0 s"), (59, "59 s"), (200, "3 m 20 s"), (7500, "2 h 05 m"), (273_600, "3 d 04 h")];
        for (seconds, text) in cases {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
