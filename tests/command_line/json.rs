//! Just enough of RFC 8259 to tell what is JSON from what is not.

/// `Err` has the byte at which `text` stops being one JSON value.
pub fn check(text: &str) -> Result<(), usize> {
    let bytes = text.as_bytes();
    match value(bytes, 0)? {
        end if end == bytes.len() => Ok(()),
        end => Err(end),
    }
}

fn value(bytes: &[u8], at: usize) -> Result<usize, usize> {
    match bytes.get(at) {
        Some(b'{') => list(bytes, at, b'}', |bytes, at| {
            let colon = string(bytes, at)?;
            if bytes.get(colon) == Some(&b':') { value(bytes, colon + 1) } else { Err(colon) }
        }),
        Some(b'[') => list(bytes, at, b']', value),
        Some(b'"') => string(bytes, at),
        Some(b'-' | b'0'..=b'9') => {
            let end = bytes[at..].iter().position(|byte| !b"-+.0123456789eE".contains(byte));
            let end = end.map_or(bytes.len(), |length| at + length);
            let number = std::str::from_utf8(&bytes[at..end]).ok().and_then(|text| text.parse::<f64>().ok());
            number.map(|_| end).ok_or(at)
        }
        _ => ["true", "false", "null"]
            .iter()
            .find(|word| bytes[at.min(bytes.len())..].starts_with(word.as_bytes()))
            .map(|word| at + word.len())
            .ok_or(at),
    }
}

fn list(
    bytes: &[u8],
    open: usize,
    close: u8,
    item: fn(&[u8], usize) -> Result<usize, usize>,
) -> Result<usize, usize> {
    if bytes.get(open + 1) == Some(&close) {
        return Ok(open + 2);
    }
    let mut at = open;
    loop {
        at = item(bytes, at + 1)?;
        match bytes.get(at) {
            Some(b',') => {}
            Some(byte) if *byte == close => return Ok(at + 1),
            _ => return Err(at),
        }
    }
}

fn string(bytes: &[u8], at: usize) -> Result<usize, usize> {
    if bytes.get(at) != Some(&b'"') {
        return Err(at);
    }
    let mut at = at + 1;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => match bytes.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u')
                    if bytes.len() > at + 6 && bytes[at + 2..at + 6].iter().all(u8::is_ascii_hexdigit) =>
                {
                    at += 6;
                }
                _ => return Err(at),
            },
            Some(0x20..) => at += 1,
            _ => return Err(at),
        }
    }
}

#[test]
fn the_checker_tells_json_from_the_rest() {
    for good in [r#"{"a":[1,-2.5,"x\u00e9\n",{},[],true,null]}"#, "3"] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in ["{", "[1,]", r#"{"a"}"#, r#"{"a":1}x"#, "\"\u{1}\"", r#""\x""#, "", "{a:1}", "1.2.3"] {
        assert!(check(bad).is_err(), "{bad}");
    }
}
