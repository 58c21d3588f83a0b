// Models: parts of the product driven at random beside a few lines that say what they must do. Each call is one seed;
// it returns what went wrong, or nothing. For the rules that a simulated fleet does not break by itself: conflicting
// and older journals, forged knowledge, supervisors at their limit, files that are still being written, blind audits.
#pragma once

#include <cstdint>
#include <string>

namespace drover::simulate {

// The coordinator's inbox, chunks and knowledge and a robot's store, against their contracts. Works below `folder`.
std::string check_stores(uint64_t seed, const std::string& folder);
// Supervision, credit and quarantine.
std::string check_runtime(uint64_t seed);
// The spool of a folder in which files grow, across restarts.
std::string check_spool(uint64_t seed);
// Damages sound stores in one place and asks the audit, which must see it, and must not before. Works below `folder`.
std::string check_audit(uint64_t seed, const std::string& folder);

}  // namespace drover::simulate
