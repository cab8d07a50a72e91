//! `process`: programs of the machine. Here is what a guest may ask for and what it gets; how a program is started,
//! watched and ended is in `process::program`. There is no shell, nothing is inherited but `PATH`, and a program ends
//! with the call that started it.

mod output;
mod program;

use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::v0_1::process::{Command, Finished, Host, HostChild, ProcessError};
use crate::state::GuestState;

pub use program::Child;

impl Host for GuestState {
    async fn run(&mut self, cmd: Command) -> Result<Result<Finished, ProcessError>> {
        self.enter()?;
        let limit = cmd.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let mut child = match self.start_program(cmd) {
            Ok(child) => child,
            Err(error) => return Ok(Err(error)),
        };
        child.close_stdin();
        Ok(child.finish(limit).await)
    }

    async fn start(&mut self, cmd: Command) -> Result<Result<Resource<Child>, ProcessError>> {
        self.enter()?;
        match self.start_program(cmd) {
            Ok(child) => Ok(Ok(self.table.push(child)?)),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl HostChild for GuestState {
    async fn read_stdout(
        &mut self,
        child: Resource<Child>,
        max: u32,
    ) -> Result<Result<Option<Vec<u8>>, ProcessError>> {
        self.enter()?;
        Ok(Ok(self.table.get_mut(&child)?.stdout.read(max as usize).await))
    }

    async fn read_stderr(
        &mut self,
        child: Resource<Child>,
        max: u32,
    ) -> Result<Result<Option<Vec<u8>>, ProcessError>> {
        self.enter()?;
        Ok(Ok(self.table.get_mut(&child)?.stderr.read(max as usize).await))
    }

    async fn write_stdin(
        &mut self,
        child: Resource<Child>,
        data: Vec<u8>,
    ) -> Result<Result<u32, ProcessError>> {
        self.enter()?;
        Ok(self.table.get_mut(&child)?.write_stdin(&data).await)
    }

    async fn close_stdin(&mut self, child: Resource<Child>) -> Result<Result<(), ProcessError>> {
        self.enter()?;
        self.table.get_mut(&child)?.close_stdin();
        Ok(Ok(()))
    }

    async fn wait(&mut self, child: Resource<Child>) -> Result<Result<Finished, ProcessError>> {
        self.enter()?;
        let child = self.table.get_mut(&child)?;
        let limit = child.time_left();
        Ok(child.finish(limit).await)
    }

    async fn kill(&mut self, child: Resource<Child>) -> Result<Result<(), ProcessError>> {
        self.enter()?;
        self.table.get_mut(&child)?.kill();
        Ok(Ok(()))
    }

    async fn drop(&mut self, child: Resource<Child>) -> Result<()> {
        // Dropping it kills it.
        self.table.delete(child)?;
        Ok(())
    }
}

impl GuestState {
    fn start_program(&mut self, cmd: Command) -> Result<Child, ProcessError> {
        let (grants, limits) = (self.identity.grants.get(), &self.identity.limits);
        grants
            .process(&cmd.program, &cmd.args, &cmd.env)
            .map_err(|denied| ProcessError::Denied(denied.to_string()))?;
        self.call.processes += 1;
        if self.call.processes > limits.processes {
            let (name, most) = (&self.identity.name, limits.processes);
            return Err(ProcessError::Denied(format!(
                "Plugin '{name}' may start {most} programs in a call; plugins.{name}.limits.processes sets that"
            )));
        }
        let folder = match &cmd.cwd {
            Some(guest) => Some(program::granted_folder(&grants, guest)?),
            None => None,
        };
        Child::start(cmd, folder.as_deref(), limits.process_output_bytes as usize)
    }
}
