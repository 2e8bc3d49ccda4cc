//! What of a peer's input is shown back to it, or to a log.

/// At most this many characters of a peer's input are shown back to it or to a log.
pub const SHOWN_LENGTH: usize = 64;

/// The beginning of a peer's input, short enough to be shown back to it or to a log.
pub fn shown(input: &str) -> String {
    match input.char_indices().nth(SHOWN_LENGTH) {
        Some((end, _)) => format!("{}…", &input[..end]),
        None => input.to_owned(),
    }
}

/// A peer's input with its control characters replaced by their code points. Backslashes stand for
/// themselves.
pub(super) fn visible(input: &str) -> String {
    let mut visible = String::with_capacity(input.len());
    for character in input.chars() {
        if character.is_control() {
            visible.push_str(&format!("<U+{:04X}>", u32::from(character)));
        } else {
            visible.push(character);
        }
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_input_is_bounded_and_cut_between_characters() {
        assert_eq!(shown("short"), "short");
        let long = "ü".repeat(SHOWN_LENGTH + 1);
        assert_eq!(shown(&long), format!("{}…", "ü".repeat(SHOWN_LENGTH)));
    }
}
