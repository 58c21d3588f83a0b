// What must hold of a fleet of real processes, whatever was done to it.
#pragma once

#include <string>

#include "actors/sync/central_dump.hpp"
#include "stress/crash/fleet.hpp"

namespace drover::crash {

// Error: a process has ended by itself.
Status all_running(Fleet& fleet);
// Waits until everything that was delivered is at the centre and applied. Errors: timeout, with what is left.
Status drain(Fleet& fleet, uint64_t limit_s);
// The library and the shipped program must both say that the books balance.
Status check_balance(Fleet& fleet, const char* when, bool print);
// SIGTERM to all; each must end with exit code 0.
Status stop_all(Fleet& fleet);
// An event of severity error means that a human must act: faults that heal must not cause one.
Status no_error_events(Fleet& fleet);
// The canonical dump of the centre, also into a file.
Result<std::string> dump_to(Fleet& fleet, const std::string& file, sync::CentralDump& facts);
// The first line in which two dumps differ.
std::string first_difference(const std::string& a, const std::string& b);

}  // namespace drover::crash
