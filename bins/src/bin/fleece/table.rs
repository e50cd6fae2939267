//! Tables for people.

use fleece_plain_text::words;

/// Columns two blanks apart, each as wide as its widest cell, which names and notes of others may fill.
pub(crate) fn table<const N: usize>(titles: [&str; N], rows: Vec<[String; N]>) -> String {
    let clean = |cell: String| words(&cell);
    let rows: Vec<[String; N]> = std::iter::once(titles.map(str::to_owned))
        .chain(rows)
        .map(|row| row.map(clean))
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_aligned_and_hostile_text_is_harmless() {
        let rows = vec![
            ["1".into(), "a\u{1b}[2J".into()],
            ["100".into(), String::new()],
        ];
        assert_eq!(table(["ID", "NAME"], rows), "ID   NAME\n1    a?[2J\n100\n");
    }
}
