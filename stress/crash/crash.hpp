// drover stress crash: kills the processes of a real fleet and proves that nothing was lost.
#pragma once

namespace drover::crash {

// The program; argv[0] is its name. Exit codes: 0 passed, 1 failed, 2 usage.
int crash_main(int argc, char** argv);

}  // namespace drover::crash
