//! The tables of the quick benchmark, in Markdown.

/// Those whose processor time is told, as the load generator calls them, and in the table.
pub(crate) const PROCESSES: [(&str, &str); 3] =
    [("gateway", "gateway"), ("rabbitmq", "RabbitMQ"), ("crossbar", "Crossbar.io")];

/// What one run has measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Deliveries, receipts or results, a second.
    pub(crate) rate: f64,
    /// Milliseconds within which half of them came.
    pub(crate) median: Option<f64>,
    /// And 99 of 100.
    pub(crate) p99: Option<f64>,
    /// Microseconds of processor time for each, in each of the [`PROCESSES`].
    pub(crate) cpu: [Option<f64>; PROCESSES.len()],
    /// MiB of memory of all of them.
    pub(crate) memory: f64,
}

impl Sample {
    fn sum(&self) -> f64 {
        self.cpu.iter().flatten().sum()
    }
}

/// A scenario on a target.
#[derive(Debug)]
pub(crate) struct Row {
    scenario: &'static str,
    target: &'static str,
    /// One of each round.
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    /// Without samples yet.
    pub(crate) const fn new(scenario: &'static str, target: &'static str) -> Self {
        Self { scenario, target, samples: Vec::new() }
    }

    /// The median of something that was measured.
    fn of(&self, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.samples.iter().filter_map(value))
    }

    fn rate(&self) -> Option<f64> {
        self.of(|sample| Some(sample.rate))
    }

    fn sum(&self) -> Option<f64> {
        self.of(|sample| Some(sample.sum()))
    }
}

/// The middle one, or the mean of the two in the middle; `None` of none.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// A table, in which each target is compared with the one that is called `yardstick`, in short `short`.
/// Processes that none of them has are left out.
pub(crate) fn shown(rows: &[Row], yardstick: &str, short: &str) -> String {
    let is_there = |process: &usize| rows.iter().any(|row| row.of(|it| it.cpu[*process]).is_some());
    let processes: Vec<usize> = (0..PROCESSES.len()).filter(is_there).collect();
    let mut names = processes.iter().map(|process| PROCESSES[*process].1);
    let first = format!("CPU µs: {}", names.next().unwrap_or_default());
    let head: Vec<String> =
        ["scenario", "target", "rate, 1/s", "latency ms: median", "99 %", &first]
            .into_iter()
            .chain(names)
            .chain(["sum", "memory, MiB"])
            .map(str::to_owned)
            .chain([format!("rate, times {short}'s"), format!("CPU of {short}, times this")])
            .collect();
    let numbers = head.len() - 2;
    let mut table = format!("| {} |\n|---|---|{}\n", head.join(" | "), "--:|".repeat(numbers));
    for row in rows {
        let compared = rows.iter().find(|it| it.scenario == row.scenario && it.target == yardstick);
        let times = |above: Option<f64>, below: Option<f64>| {
            above.zip(below).filter(|(_, below)| *below > 0.0).map(|(above, below)| above / below)
        };
        let cpu = processes.iter().map(|process| number(row.of(|it| it.cpu[*process]), 1));
        let cells: Vec<String> = [row.scenario.to_owned(), row.target.to_owned()]
            .into_iter()
            .chain([
                number(row.rate(), 0),
                number(row.of(|it| it.median), 1),
                number(row.of(|it| it.p99), 1),
            ])
            .chain(cpu)
            .chain([
                number(row.sum(), 1),
                number(row.of(|it| Some(it.memory)), 0),
                number(times(row.rate(), compared.and_then(Row::rate)), 2),
                number(times(compared.and_then(Row::sum), row.sum()), 1),
            ])
            .collect();
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }

    #[test]
    fn targets_are_compared_within_their_scenario() {
        let row = |scenario, target, rate, cpu| Row {
            samples: vec![Sample { rate, median: Some(1.25), p99: None, cpu, memory: 20.4 }],
            ..Row::new(scenario, target)
        };
        let rows = [
            row("a", "mine", 200.0, [Some(1.0), None, None]),
            row("a", "theirs", 100.0, [None, None, Some(6.0)]),
            row("b", "mine", 7.0, [Some(0.0), None, None]),
        ];
        let shown = shown(&rows, "theirs", "it");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines,
            [
                "| scenario | target | rate, 1/s | latency ms: median | 99 % | CPU µs: gateway | \
                 Crossbar.io | sum | memory, MiB | rate, times it's | CPU of it, times this |",
                "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
                "| a | mine | 200 | 1.2 | – | 1.0 | – | 1.0 | 20 | 2.00 | 6.0 |",
                "| a | theirs | 100 | 1.2 | – | – | 6.0 | 6.0 | 20 | 1.00 | 1.0 |",
                "| b | mine | 7 | 1.2 | – | 0.0 | – | 0.0 | 20 | – | – |",
            ]
        );
    }
}
