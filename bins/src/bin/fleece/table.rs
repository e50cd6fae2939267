//! Tables for people.

use fleece_plain_text::words;

/// Columns two blanks apart, each as wide as its widest cell, which names and notes of others may fill.
pub(crate) fn table<const N: usize>(titles: [&str; N], rows: Vec<[String; N]>) -> String {
    fitted(titles, rows, usize::MAX, &[])
}

/// The same within `width` characters: columns that can be dispensed with are left out, one after the other, until it
/// fits; what is too wide even then ends with an ellipsis.
pub(crate) fn fitted<const N: usize>(
    titles: [&str; N],
    rows: Vec<[String; N]>,
    width: usize,
    dispensable: &[usize],
) -> String {
    let clean = |cell: String| words(&cell);
    let rows: Vec<[String; N]> = std::iter::once(titles.map(str::to_owned))
        .chain(rows)
        .map(|row| row.map(clean))
        .collect();
    let mut widths = [0_usize; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut left_out: Vec<usize> = Vec::new();
    let total = |left_out: &[usize]| {
        let kept = widths.iter().enumerate();
        // The last one may be cut.
        let kept = kept.filter(|(n, _)| !left_out.contains(n) && n.saturating_add(1) < N);
        kept.fold(0_usize, |sum, (_, width)| {
            sum.saturating_add(width.saturating_add(2))
        })
    };
    let mut dispensable = dispensable.iter();
    while total(&left_out) > width {
        match dispensable.next() {
            Some(&column) => left_out.push(column),
            None => break,
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate();
        let cells = cells.filter(|(n, _)| !left_out.contains(n));
        let line: String = cells
            .map(|(_, (cell, width))| format!("{cell:width$}  "))
            .collect();
        text.push_str(&cut(line.trim_end(), width));
        text.push('\n');
    }
    text
}

fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_hostile_text_is_harmless() {
        let rows = vec![
            ["1".into(), "a\u{1b}[2J".into()],
            ["100".into(), String::new()],
        ];
        assert_eq!(table(["ID", "NAME"], rows), "ID   NAME\n1    a?[2J\n100\n");
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_the_last_column_is_cut() {
        let fit = |width| {
            let row = ["1".into(), "middle".into(), "a long note".into()];
            fitted(["A", "B", "C"], vec![row], width, &[1])
        };
        assert_eq!(fit(80), "A  B       C\n1  middle  a long note\n");
        assert_eq!(fit(14), "A  B       C\n1  middle  a …\n");
        assert_eq!(fit(8), "A  C\n1  a lo…\n");
    }
}
