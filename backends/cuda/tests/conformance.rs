//! The conformance kit on the device in f32, where its bounds say most.

mod common;

use common::{device, on_device};
use relscale::conformance::{Kit, Promise, UNIT_ROUNDOFF_F32, names};
use relscale_cuda::Precision;

macro_rules! stamp {
    ($($check:ident)*) => {
        $(#[test] fn $check() {
            on_device(|| {
                let kit = Kit::new(
                    || device(Precision::F32),
                    UNIT_ROUNDOFF_F32,
                    Promise::WithinBound,
                );
                if let Err(failure) = kit.$check() {
                    panic!("{failure}");
                }
            });
        })*

        #[test]
        fn every_check_is_stamped() {
            assert_eq!(names(), [$(stringify!($check)),*]);
        }
    };
}

stamp!(upload_rows embed norm linear rope attention activate add gather concat log_prob
    rows_alone attention_causality attention_sharing attention_prefix normalisation empty wrong_input
    model model_causality model_packing model_sharing model_prefix model_repeatability
    model_normalisation);
