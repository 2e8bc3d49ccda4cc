//! The README's snippets, as a stranger would copy them.

use std::fs;

use crate::command::{Failure, root};

/// A part of the README.
#[derive(Debug)]
pub(crate) struct Readme(String);

impl Readme {
    /// All of it. *Errors.* It cannot be read.
    pub(crate) fn read() -> Result<Self, Failure> {
        let path = root().join("README.md");
        fs::read_to_string(&path).map(Self).map_err(Failure::file(&path))
    }

    /// What is outside the section with this heading, and what is in it.
    ///
    /// *Errors.* There is none.
    pub(crate) fn split(self, heading: &str) -> Result<(Self, Self), Failure> {
        let start = format!("\n## {heading}\n");
        let Some((before, rest)) = self.0.split_once(&start) else {
            return Err(Failure::Unexpected(format!("README.md has no section {heading:?}")));
        };
        let (within, after) = rest.split_at(rest.find("\n## ").unwrap_or(rest.len()));
        Ok((Self(format!("{before}\n{after}")), Self(within.to_owned())))
    }

    /// The fenced blocks in `language` that name this port, with `actual` in its place.
    ///
    /// *Errors.* There is none.
    pub(crate) fn snippets(
        &self,
        language: &str,
        port: &str,
        actual: u16,
    ) -> Result<Vec<String>, Failure> {
        let blocks = self.blocks(language);
        let mut snippets: Vec<_> = blocks.filter(|block| block.contains(port)).collect();
        for snippet in &mut snippets {
            *snippet = snippet.replace(port, &actual.to_string());
        }
        if snippets.is_empty() {
            let text = format!("README.md has no ```{language} block with port {port} there");
            return Err(Failure::Unexpected(text));
        }
        Ok(snippets)
    }

    fn blocks(&self, language: &str) -> impl Iterator<Item = String> {
        let mut lines = self.0.lines();
        let fenced = std::iter::from_fn(move || {
            let fence = lines.by_ref().find_map(|line| line.strip_prefix("```"))?;
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            Some((fence, block.join("\n")))
        });
        fenced.filter_map(move |(fence, block)| (fence == language).then_some(block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readme() -> Readme {
        let text = "# a\n```js\nnew Client('ws://127.0.0.1:15674/ws')\ngo()\n```\n\
                    ```sh\ncurl 127.0.0.1:15674\n```\n\
                    ## B\n```js\nin_b(15674)\n```\n\n## C\n```js\nother()\n```\n\
                    ```js\nin_c(15674)\n```\n";
        Readme(text.to_owned())
    }

    #[test]
    fn only_blocks_of_the_language_that_name_the_port_are_snippets() {
        let snippets = readme().snippets("js", "15674", 7).unwrap();
        let expected = ["new Client('ws://127.0.0.1:7/ws')\ngo()", "in_b(7)", "in_c(7)"];
        assert_eq!(snippets, expected);
        assert_eq!(readme().snippets("sh", "15674", 7).unwrap(), ["curl 127.0.0.1:7"]);
        readme().snippets("python", "15674", 7).unwrap_err();
        readme().snippets("js", "5672", 7).unwrap_err();
    }

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let (outside, within) = readme().split("B").unwrap();
        assert_eq!(within.snippets("js", "15674", 7).unwrap(), ["in_b(7)"]);
        let outside = outside.snippets("js", "15674", 7).unwrap();
        assert_eq!(outside, ["new Client('ws://127.0.0.1:7/ws')\ngo()", "in_c(7)"]);
        readme().split("D").unwrap_err();
    }
}
