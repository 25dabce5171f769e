//! The world's time on our clock: a span of it, pressed into one of ours.

/// When a span of the world is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Where the span begins, in the world's UTC milliseconds.
    pub from: i64,
    /// How long it is there, in ms.
    pub span_ms: i64,
    /// When it begins by our clock, in UTC milliseconds.
    pub began: i64,
    /// How long it takes here, in ms.
    pub length_ms: i64,
}

impl Stage {
    /// The wall-clock time, in ms, of an instant of the world.
    pub fn real(&self, at: i64) -> i64 {
        let into = i128::from(at - self.from) * i128::from(self.length_ms);
        self.began + (into / i128::from(self.span_ms)) as i64
    }

    /// The instant of the world at a wall-clock time.
    pub fn world(&self, real: i64) -> i64 {
        let into = i128::from(real - self.began) * i128::from(self.span_ms);
        self.from + (into / i128::from(self.length_ms)) as i64
    }

    /// When it ends by the wall clock.
    pub fn ends(&self) -> i64 {
        self.began + self.length_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_and_the_wall_clock_tell_the_same() {
        let stage = Stage {
            from: 5_000,
            span_ms: 86_400_000,
            began: 1_000,
            length_ms: 60_000,
        };
        assert_eq!(stage.real(5_000 + 43_200_000), 31_000);
        assert_eq!(stage.world(31_000), 5_000 + 43_200_000);
        assert_eq!((stage.real(5_000), stage.ends()), (1_000, 61_000));
    }
}
