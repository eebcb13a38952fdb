//! Host names with letters outside ASCII, as name servers want them (RFC 3492, 5890): `münchen` is `xn--mnchen-3ya`.
//!
//! Capitals become small ones. Other letters that mean the same (RFC 5895) are not made the same, which would take tables
//! larger than all the rest: a name with accents that stand by themselves is refused.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;
const INITIAL_BIAS: u32 = 72;
const FIRST_CODE: u32 = 128;
/// A label with more letters does not fit into 63 bytes behind its `xn--`.
const LETTERS_MAX: usize = 59;

/// The name in ASCII; `None` if there is none for it. Labels that are ASCII stay as they are.
pub fn ascii_name(name: &str) -> Option<String> {
    let labels = name.split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']);
    let labels: Option<Vec<String>> = labels.map(ascii_label).collect();
    Some(labels?.join("."))
}

fn ascii_label(label: &str) -> Option<String> {
    if label.is_ascii() {
        return Some(label.into());
    }
    let letters: Vec<char> = label.chars().flat_map(char::to_lowercase).take(LETTERS_MAX + 1).collect();
    if letters.len() > LETTERS_MAX || !letters.iter().all(|&letter| is_letter(letter)) {
        return None;
    }
    Some(format!("xn--{}", encoded(&letters)))
}

/// True for what may stand in a name. Accents that stand by themselves (U+0300 to U+036F) belong to the letter before, and
/// only the tables say what the two are together.
fn is_letter(letter: char) -> bool {
    match letter {
        '-' | '_' => true,
        '\u{300}'..='\u{36f}' | '\u{2000}'..='\u{206f}' | '\u{feff}' => false,
        _ if letter.is_ascii() => letter.is_ascii_alphanumeric(),
        _ => !letter.is_control() && !letter.is_whitespace(),
    }
}

/// RFC 3492, 6.3. Nothing overflows: there are at most [`LETTERS_MAX`] letters, each below 2^21.
fn encoded(letters: &[char]) -> String {
    let mut output: String = letters.iter().filter(|letter| letter.is_ascii()).collect();
    let basic = output.len() as u32;
    let mut handled = basic;
    if basic > 0 {
        output.push('-');
    }
    let (mut code, mut delta, mut bias) = (FIRST_CODE, 0, INITIAL_BIAS);
    while let Some(next) =
        letters.iter().map(|&letter| u32::from(letter)).filter(|&other| other >= code).min()
    {
        delta += (next - code) * (handled + 1);
        code = next;
        for letter in letters.iter().map(|&letter| u32::from(letter)) {
            if letter < code {
                delta += 1;
            } else if letter == code {
                append_number(&mut output, delta, bias);
                bias = adapted(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta += 1;
        code += 1;
    }
    output
}

/// A number of digits whose weight grows as `bias` says.
fn append_number(output: &mut String, number: u32, bias: u32) {
    let mut rest = number;
    for k in (BASE..).step_by(BASE as usize) {
        let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
        if rest < threshold {
            return output.push(digit(rest));
        }
        output.push(digit(threshold + (rest - threshold) % (BASE - threshold)));
        rest = (rest - threshold) / (BASE - threshold);
    }
}

fn digit(value: u32) -> char {
    char::from_digit((value + 10) % BASE, BASE).unwrap_or('?')
}

fn adapted(delta: u32, handled: u32, first: bool) -> u32 {
    let mut delta = if first { delta / DAMP } else { delta / 2 };
    delta += delta / handled;
    let mut k = 0;
    while delta > (BASE - T_MIN) * T_MAX / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_name_servers_have_them() {
        let cases = [
            ("münchen.example", "xn--mnchen-3ya.example"),
            ("Bücher.Example", "xn--bcher-kva.Example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("испытание。中国", "xn--80akhbyknj4f.xn--fiqs8s"),
            ("δοκιμή", "xn--jxalpdlp"),
            ("straße-1_2", "xn--strae-1_2-j1a"),
            // RFC 3492, 7.1: Chinese, Czech, Hindi, and numbers that grow long.
            ("他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye"),
            ("Pročprostěnemluvíčesky", "xn--proprostnemluvesky-uyb24dma41a"),
            ("यहलोगहिन्दीक्योंनहींबोलसकतेहैं", "xn--i1baa7eci9glrd9b2ae1bj0hfcgg6iyaf8o0a1dig0cd"),
            ("3年b組金八先生", "xn--3b-ww4c5e180e575a65lsy2b"),
            ("\u{10ffff}", "xn--dn32g"),
            ("plain.example.", "plain.example."),
        ];
        for (name, wanted) in cases {
            assert_eq!(ascii_name(name).as_deref(), Some(wanted), "{name}");
        }
    }

    #[test]
    fn what_has_no_name_in_ascii_is_refused() {
        let long = "ü".repeat(LETTERS_MAX + 1);
        for name in ["mu\u{308}nchen", "ü/x", "ü x", "ü\u{200b}", "ü\u{85}", "İx", "ü%", &long] {
            assert_eq!(ascii_name(name), None, "{name:?}");
        }
        let longest = "\u{10ffff}\u{e000}".repeat(LETTERS_MAX / 2);
        assert!(ascii_name(&longest).is_some_and(|name| name.len() > 63), "for the host to be refused");
    }
}
