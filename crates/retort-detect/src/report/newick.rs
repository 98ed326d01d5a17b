//! Reading trees in Newick notation.

/// A node of a tree; its children come after it in [`Newick::nodes`].
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Node {
    /// Name of a leaf, or support of an inner node.
    pub(super) label: String,
    /// Length of the branch to its parent.
    pub(super) length: Option<f64>,
    /// Places of its children.
    pub(super) children: Vec<usize>,
}

/// A tree; its root is the first node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Newick {
    pub(super) nodes: Vec<Node>,
}

/// Most nodes that are read: larger trees cannot be looked at.
const NODES_MAX: usize = 4_000;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 1_000;

/// Reads a tree; nothing when the text is none, or too large to be looked at.
pub(super) fn read(text: &str) -> Option<Newick> {
    let mut nodes = vec![Node::default()];
    let mut open: Vec<usize> = Vec::new();
    let mut current = 0;
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '(' => {
                open.push(current);
                current = child(&mut nodes, current)?;
            }
            ',' => current = child(&mut nodes, *open.last()?)?,
            ')' => current = open.pop()?,
            ':' => {
                let mut number = String::new();
                while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || "+-.eE".contains(*c)) {
                    number.push(c);
                }
                nodes[current].length = Some(number.parse().ok().filter(|v: &f64| v.is_finite())?);
            }
            ';' => return (open.is_empty() && chars.next().is_none()).then_some(Newick { nodes }),
            '\'' => loop {
                match chars.next()? {
                    '\'' if chars.next_if_eq(&'\'').is_none() => break,
                    c => nodes[current].label.push(c),
                }
            },
            c if c.is_whitespace() => {}
            c => nodes[current].label.push(c),
        }
        if open.len() > DEPTH_MAX {
            return None;
        }
    }
    None
}

fn child(nodes: &mut Vec<Node>, parent: usize) -> Option<usize> {
    let place = nodes.len();
    if place >= NODES_MAX {
        return None;
    }
    nodes.push(Node::default());
    nodes[parent].children.push(place);
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_read_with_lengths_support_and_quoted_names() {
        let tree = read("((a:1,'b''s (x)':2e-1)97:.5,c);").expect("a tree");
        let labels: Vec<&str> = tree.nodes.iter().map(|node| node.label.as_str()).collect();
        assert_eq!(labels, ["", "97", "a", "b's (x)", "c"]);
        assert_eq!(tree.nodes[1].length, Some(0.5));
        assert_eq!(tree.nodes[3].length, Some(0.2));
        assert_eq!(tree.nodes[0].children, [1, 4]);
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let deep = format!("{}a{};", "(".repeat(5_000), ")".repeat(5_000));
        for text in [
            "",
            "a",
            "(a",
            "a);",
            "(a,b));",
            "(a:x,b);",
            "('a,b);",
            "(a,b); (c);",
            &deep,
        ] {
            assert_eq!(read(text), None, "{:?}", text.get(..20));
        }
    }
}
