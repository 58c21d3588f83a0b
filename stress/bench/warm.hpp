// Equal conditions for rows that write: pages that cost the same whoever runs first.
#pragma once

#include <cstdint>
#include <filesystem>

namespace drover::bench {

// Makes the next `bytes` of page cache cheap: writes the file `path`, which must not exist, and removes it. A virtual
// machine gives freed memory back to its host within seconds, and the first write to a page that the host has to find
// again costs several times the write; whoever runs second would look better. Called before each measurement of a
// pair, ours and raw. Errors end the program.
void warm_page_cache(const std::filesystem::path& path, uint64_t bytes);

}  // namespace drover::bench
