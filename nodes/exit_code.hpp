// The exit codes of every Drover program. Documented by `drover help exit-codes`; units under configs/systemd use them.
#pragma once

namespace drover::nodes {

enum ExitCode : int {
  exit_ok = 0,             // done, stopped cleanly, or every check held
  exit_failed = 1,         // the command did its work and the answer is no, or it failed
  exit_usage = 2,          // the command line is wrong
  exit_config = 3,         // the configuration is wrong; starting again cannot help
  exit_start = 4,          // could not start: store locked or damaged, port taken, certificate unreadable
  exit_gave_up = 5,        // a supervisor gave up; starting again may help
  exit_stop_deadline = 6,  // a clean stop took too long and was cut short
  exit_interrupted = 130,  // a second SIGINT
};

}  // namespace drover::nodes
