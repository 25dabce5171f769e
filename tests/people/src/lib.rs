//! Everybody who uses a cluster under test: visitors who insist, agents who lose their desktops and sometimes lie, a
//! supervisor and an operator; and the ledger, which checks what they are told against what the cluster decided. The same
//! people live on simulated clusters and on real ones.

pub mod agents;
pub mod audit;
pub mod damage;
pub mod judge;
pub mod ledger;
pub mod operator;
pub mod stage;
pub mod trace;
pub mod visitors;
pub mod world;
