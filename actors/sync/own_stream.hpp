// Streams of the centre itself. What actors of a coordinator append to its inbox goes through the same store as what
// robots send, under names that no node can have, so that operators are not shown robots that do not exist.
#pragma once

#include <string_view>

namespace drover::sync {

// Node ids are made of letters, digits and ".-_" (nodes/config): none begins with this.
inline constexpr char own_stream_mark = '@';
inline bool is_own_stream(std::string_view robot) noexcept {
  return robot.starts_with(own_stream_mark);
}

}  // namespace drover::sync
