//! Which chunk is read next.

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    /// The place on the disk.
    Disk,
    /// Where the guest has written most of late, in areas of this many chunks: what a histogram of positions or a
    /// dirty bitmap tells.
    Written(usize),
}

/// What has been planned, and where the guest writes.
#[derive(Debug)]
pub(crate) struct Plan {
    order: Order,
    is_planned: Vec<bool>,
    /// All before it are planned.
    next: usize,
    left: usize,
    /// Writes to each area, older ones for less.
    heat: Vec<f64>,
}

/// What is left of an area's heat after each look.
const COOLS: f64 = 0.9;

impl Plan {
    pub(crate) fn new(order: Order, chunks: usize) -> Self {
        let areas = match order {
            Order::Disk => 0,
            Order::Written(area) => chunks.div_ceil(area),
        };
        Self {
            order,
            is_planned: vec![false; chunks],
            next: 0,
            left: chunks,
            heat: vec![0.0; areas],
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The guest writes to this chunk.
    pub(crate) fn written(&mut self, chunk: usize) {
        if let Order::Written(area) = self.order {
            self.heat[chunk / area] += 1.0;
        }
    }

    /// Time passes.
    pub(crate) fn cool(&mut self) {
        self.heat.iter_mut().for_each(|heat| *heat *= COOLS);
    }

    /// The next chunk, of which there must be one.
    pub(crate) fn take(&mut self) -> usize {
        let chunk = self.hottest().unwrap_or(self.next);
        self.is_planned[chunk] = true;
        while self.is_planned.get(self.next) == Some(&true) {
            self.next += 1;
        }
        self.left -= 1;
        chunk
    }

    fn hottest(&mut self) -> Option<usize> {
        let Order::Written(area) = self.order else {
            return None;
        };
        loop {
            let (hottest, heat) = self
                .heat
                .iter()
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(b.1))?;
            if *heat < 0.01 {
                return None;
            }
            let first = hottest * area;
            let end = (first + area).min(self.is_planned.len());
            match self.is_planned[first..end].iter().position(|done| !done) {
                Some(chunk) => return Some(first + chunk),
                // All of it has been read.
                None => self.heat[hottest] = 0.0,
            }
        }
    }
}
