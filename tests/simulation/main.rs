//! Whole swarms in virtual time, each from one seed: the real session, model peers, model trackers, a model disk.
//!
//! A seed that fails is printed; `SIM_SEED=n cargo test --test simulation one_seed -- --nocapture` runs it alone, and
//! `SIM_SEEDS=a..b` runs a range of them instead of the usual ones.

mod cuts;
mod datagrams;
mod device;
mod disk;
mod efficiency;
mod fault;
mod frames;
mod lines;
mod narrow;
mod net;
mod one_device;
mod outage;
mod pauses;
mod peer;
mod perform;
mod poison;
mod relay;
mod scale;
mod scenarios;
mod slow_disk;
mod swarm;
mod torrent;
mod tracker;
mod trackers;
mod watch;
mod world;
