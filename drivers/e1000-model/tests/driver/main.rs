//! The real driver, unchanged, over the model: two readings of one datasheet meet. It is used
//! through its public face only.

mod faults;
mod sides;
mod threads;
mod traffic;
