// Checks an LMDB file before LMDB trusts it. Internal to storage/.
//
// LMDB has no page checksums and follows damaged page numbers straight into unmapped memory, so a
// damaged file ends the process. This reads the same structures with every bound checked: both meta pages, each
// tree of a snapshot (page kinds, own numbers, node bounds, key order, counts), the free list (no page both free and
// used, none used twice), and the seals of the values. The format is that of LMDB 0.9 (data version 1, 64 bit).
#pragma once

#include <filesystem>

#include "messages/result.hpp"

namespace drover::storage::detail {

struct MetaFacts {
  uint64_t transaction = 0;
  uint64_t last_page = 0;
};

// Both metas are sane and belong to successive transactions. Errors: corrupt, truncated, io.
// not_found: the file is absent or empty (a new store).
Result<MetaFacts> check_metas(const std::filesystem::path& file);

// Checks the snapshot `transaction`. It must be pinned by a read transaction while others write.
// Errors: corrupt, truncated, io; unavailable: its meta page is gone, pin a newer one.
Status check_pages(const std::filesystem::path& file, uint64_t transaction, bool large_values);

}  // namespace drover::storage::detail
