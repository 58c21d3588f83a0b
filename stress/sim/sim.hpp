// drover stress sim: many seeds of simulated fleets, in parallel, with replay and shrinking.
#pragma once

namespace drover::simulate {

// The program; argv[0] is its name. Exit codes: 0 everything held, 1 a seed failed, 2 usage.
int sim_main(int argc, char** argv);

}  // namespace drover::simulate
