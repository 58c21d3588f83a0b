// Datapack <-> one line of JSON: the exchange form (one file per task, one pack per line). DATAPACKS.md lists the
// fields.
//
// Nothing is lost on the way JSON -> Datapack -> JSON: unknown fields of every object are kept verbatim (extra_json),
// and so is a known field whose text says more than the struct can hold (an explicit null or "", a number with
// more digits than a double). Only defaults are added: a number or list that was absent is written as its default.
// Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "messages/datapack.hpp"
#include "messages/result.hpp"

namespace drover::storage {

inline constexpr size_t json_line_max_bytes = 8u << 20;

// One JSON object. Does not check the invariants (`validate` does).
// Errors: invalid_argument, where = "line:column field.path" within `text`; too_large.
Result<Datapack> datapack_from_json(std::string_view text);

// One line without the newline. Equal packs give equal text.
// Errors: invalid_argument when a field that promises JSON does not hold it (named).
Result<std::string> datapack_to_json(const Datapack& pack);

}  // namespace drover::storage
