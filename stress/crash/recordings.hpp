// drover stress recordings: kill -9 while a robot acts, draws and records.
#pragma once

namespace drover::crash {

int recordings_main(int argc, char** argv);

}  // namespace drover::crash
