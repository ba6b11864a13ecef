//! Streams and events.

use std::ffi::c_uint;

use super::{context, out, stream_id};
use crate::device::{Event, Work, code, failure};

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreate(to: *mut usize, flags: c_uint) -> u32 {
    context("cuStreamCreate", |s| {
        if flags > 1 {
            return failure(code::INVALID_VALUE, format!("flags {flags}"));
        }
        let id = s.machine.create_stream(flags == 0);
        out(to, id as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(stream: usize) -> u32 {
    context("cuStreamDestroy", |s| {
        s.machine.destroy_stream(stream_id(stream))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(stream: usize) -> u32 {
    context("cuStreamSynchronize", |s| {
        s.machine.synchronize(stream_id(stream))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamQuery(stream: usize) -> u32 {
    context("cuStreamQuery", |s| {
        s.machine.check()?;
        let id = stream_id(stream);
        s.machine.has_stream(id)?;
        if s.machine.idle(id) {
            return Ok(());
        }
        // The work gets done, but not before this question was answered.
        s.machine.run_until(id, u64::MAX);
        failure(code::NOT_READY, "work is pending")
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitEvent(stream: usize, event: usize, _flags: c_uint) -> u32 {
    context("cuStreamWaitEvent", |s| {
        let Some(event) = s.machine.events.get(&(event as u64)) else {
            return failure(code::INVALID_HANDLE, "no such event");
        };
        match event.recorded {
            Some((of, upto)) => s
                .machine
                .enqueue(stream_id(stream), Work::Wait { stream: of, upto })
                .map(|_| ()),
            None => Ok(()),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventCreate(to: *mut usize, _flags: c_uint) -> u32 {
    context("cuEventCreate", |s| {
        let id = s.machine.fresh_id();
        s.machine.events.insert(id, Event::default());
        out(to, id as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(event: usize) -> u32 {
    context("cuEventDestroy", |s| {
        match s.machine.events.remove(&(event as u64)) {
            Some(_) => Ok(()),
            None => failure(code::INVALID_HANDLE, "no such event"),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(event: usize, stream: usize) -> u32 {
    context("cuEventRecord", |s| {
        let id = event as u64;
        if !s.machine.events.contains_key(&id) {
            return failure(code::INVALID_HANDLE, "no such event");
        }
        let of = stream_id(stream);
        let number = s.machine.enqueue(of, Work::Event { id })?;
        if let Some(event) = s.machine.events.get_mut(&id) {
            event.recorded = Some((of, number));
            event.time = None;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(event: usize) -> u32 {
    context("cuEventSynchronize", |s| {
        let Some(event) = s.machine.events.get(&(event as u64)) else {
            return failure(code::INVALID_HANDLE, "no such event");
        };
        if let Some((of, upto)) = event.recorded {
            s.machine.run_until(of, upto);
        }
        s.machine.check()
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventQuery(event: usize) -> u32 {
    context("cuEventQuery", |s| {
        s.machine.check()?;
        let Some(event) = s.machine.events.get(&(event as u64)) else {
            return failure(code::INVALID_HANDLE, "no such event");
        };
        match event.recorded {
            Some((of, upto)) if event.time.is_none() => {
                s.machine.run_until(of, upto);
                failure(code::NOT_READY, "work is pending")
            }
            _ => Ok(()),
        }
    })
}

fn elapsed(ms: *mut f32, start: usize, end: usize) -> u32 {
    context("cuEventElapsedTime", |s| {
        let time = |id: usize| {
            s.machine
                .events
                .get(&(id as u64))
                .map(|e| (e.recorded.is_some(), e.time))
        };
        match (time(start), time(end)) {
            (Some((true, Some(a))), Some((true, Some(b)))) => {
                // Time of the simulator, of no meaning for a device.
                let sign = if b >= a { 1.0 } else { -1.0 };
                let span = if b >= a { b - a } else { a - b };
                out(ms, sign * span.as_secs_f32() * 1e3)
            }
            (Some((true, _)), Some((true, _))) => failure(code::NOT_READY, "work is pending"),
            _ => failure(code::INVALID_HANDLE, "an event that was not recorded"),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime(ms: *mut f32, start: usize, end: usize) -> u32 {
    elapsed(ms, start, end)
}

#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime_v2(ms: *mut f32, start: usize, end: usize) -> u32 {
    elapsed(ms, start, end)
}
