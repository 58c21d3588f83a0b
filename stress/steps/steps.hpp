// drover stress steps: the power goes at every numbered step of the pipeline.
#pragma once

namespace drover::simulate {

// The program; argv[0] is its name. Exit codes: 0 everything held, 1 a crash point failed, 2 usage.
int steps_main(int argc, char** argv);

}  // namespace drover::simulate
