//! Tables ready to be pasted, and the numbers in them.

/// The first column is text, the others are numbers.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) {
    println!("| {} |\n|---|{}", head.join(" | "), "---:|".repeat(head.len() - 1));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
    println!();
}

pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Bytes as people read them, in units of 1,000.
pub(crate) fn bytes(number: f64) -> String {
    match number {
        n if n < 1e3 => format!("{n:.0}"),
        n if n < 1e5 => format!("{:.1}K", n / 1e3),
        n if n < 1e6 => format!("{:.0}K", n / 1e3),
        n => format!("{:.2}M", n / 1e6),
    }
}
