//! Settings of the simulated machine.

/// Properties of the simulated machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Answer of `cuDriverGetVersion`: 1000·major + 10·minor.
    pub driver: i32,
    /// Compute capability.
    pub capability: (i32, i32),
    /// Number of devices.
    pub devices: i32,
    /// Bytes of device memory.
    pub memory: u64,
    /// Order of warps, lanes and blocks; 0 is the natural one.
    pub seed: u64,
    /// Thread-instructions that a block may execute.
    pub limit: u64,
    /// Host threads.
    pub workers: usize,
    /// If false, the driver has no memory pools.
    pub pools: bool,
    /// Text that the compiler refuses every module with; empty for a compiler that works.
    pub compiler_error: String,
    /// Number of the matrix algorithm that is refused for fewer than 128 columns; 0 for none.
    pub refused_algorithm: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            driver: 12080,
            capability: (8, 0),
            devices: 1,
            memory: 4 << 30,
            seed: 0,
            limit: 1 << 34,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            pools: true,
            compiler_error: String::new(),
            refused_algorithm: 0,
        }
    }
}

impl Config {
    /// The defaults, changed by the environment: `RELSCALE_SIM_DRIVER`, `RELSCALE_SIM_CAPABILITY`
    /// (as in 8.0), `RELSCALE_SIM_DEVICES`, `RELSCALE_SIM_MEMORY`, `RELSCALE_SIM_SEED`,
    /// `RELSCALE_SIM_LIMIT`, `RELSCALE_SIM_WORKERS`, `RELSCALE_SIM_POOLS` (true or false),
    /// `RELSCALE_SIM_COMPILER_ERROR`, `RELSCALE_SIM_REFUSED_ALGORITHM`.
    ///
    /// # Errors
    ///
    /// Names the variable whose value is no number.
    pub fn from_environment() -> Result<Self, String> {
        fn read<T: std::str::FromStr>(name: &str, into: &mut T) -> Result<(), String> {
            if let Ok(value) = std::env::var(name) {
                *into = value
                    .trim()
                    .parse()
                    .map_err(|_| format!("{name}={value} is not a value of this setting"))?;
            }
            Ok(())
        }
        let mut config = Self::default();
        read("RELSCALE_SIM_DRIVER", &mut config.driver)?;
        read("RELSCALE_SIM_DEVICES", &mut config.devices)?;
        read("RELSCALE_SIM_MEMORY", &mut config.memory)?;
        read("RELSCALE_SIM_SEED", &mut config.seed)?;
        read("RELSCALE_SIM_LIMIT", &mut config.limit)?;
        read("RELSCALE_SIM_WORKERS", &mut config.workers)?;
        read("RELSCALE_SIM_POOLS", &mut config.pools)?;
        read("RELSCALE_SIM_COMPILER_ERROR", &mut config.compiler_error)?;
        read(
            "RELSCALE_SIM_REFUSED_ALGORITHM",
            &mut config.refused_algorithm,
        )?;
        if let Ok(value) = std::env::var("RELSCALE_SIM_CAPABILITY") {
            let parts = value
                .trim()
                .split_once('.')
                .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            config.capability = parts
                .ok_or_else(|| format!("RELSCALE_SIM_CAPABILITY={value} is not of the form 8.0"))?;
        }
        Ok(config)
    }
}
