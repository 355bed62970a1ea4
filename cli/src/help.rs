//! Completions and man pages, made from the definition of the commands.

use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, ValueEnum};
use clap_complete::shells;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Prints a script that completes commands and options in a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  satellite completions bash > ~/.local/share/bash-completion/completions/satellite
  satellite completions zsh > ~/.zfunc/_satellite     # a folder in $fpath
  satellite completions fish > ~/.config/fish/completions/satellite.fish")]
pub struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(self, mut definition: Command) -> ExitCode {
        let mut script = Vec::new();
        let name = definition.get_name().to_owned();
        let (out, definition) = (&mut script, &mut definition);
        match self.shell {
            Shell::Bash => clap_complete::generate(shells::Bash, definition, name, out),
            Shell::Fish => clap_complete::generate(shells::Fish, definition, name, out),
            Shell::Zsh => clap_complete::generate(shells::Zsh, definition, name, out),
        }
        ended(print(&script))
    }
}

/// Prints the man page, or writes one for each command into a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  satellite man | man -l -
  satellite man --output ~/.local/share/man/man1")]
pub struct Man {
    /// The folder for satellite.1, satellite-new.1 …
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Man {
    pub fn run(self, mut definition: Command) -> ExitCode {
        definition.build();
        match self.output {
            None => {
                let mut page = Vec::new();
                let made = clap_mangen::Man::new(definition).render(&mut page);
                ended(made.and_then(|()| print(&page)))
            }
            Some(folder) => {
                let made = std::fs::create_dir_all(&folder);
                ended(made.and_then(|()| pages(&definition, &folder)))
            }
        }
    }
}

/// A page for the command and each command below it.
fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    let below = command.get_subcommands();
    for below in below.filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        pages(below, folder)?;
    }
    clap_mangen::Man::new(command.clone()).generate_to(folder)?;
    Ok(())
}

/// A closed pipe is no error.
fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        end => end,
    }
}

fn ended(end: io::Result<()>) -> ExitCode {
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
