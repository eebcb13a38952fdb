//! Floor 3: giving. Who is served, with what, in which order, and how fast. Knows neither files nor sockets.

mod allowed_fast;
mod choker;
mod pacer;
mod queue;
mod sending;
mod spread;
mod super_seed;

pub use allowed_fast::allowed_fast;
pub use choker::{Choker, Contender, Standing, slots};
pub use pacer::{Pacer, Round, Share};
pub use queue::Queue;
pub use sending::Sending;
pub use spread::Spread;
pub use super_seed::{Passed, SuperSeed};
