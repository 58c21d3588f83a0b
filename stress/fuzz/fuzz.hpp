// drover stress fuzz: every fuzz target for its share of the time.
#pragma once

namespace drover::fuzz {

// The program; argv[0] is its name. Exit codes: 0 passed, 1 failed, 2 usage.
int fuzz_main(int argc, char** argv);

}  // namespace drover::fuzz
