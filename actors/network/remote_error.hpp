// How an Error crosses the wire: Cap'n Proto carries only text, so the text has a form that can be read back.
// "[drover refused] robot/robot-07: session.query: robots may not ask queries"
#pragma once

#include <string>
#include <string_view>

#include "messages/result.hpp"

namespace drover::network {

std::string to_wire(const Error& error);

// Reads the form above wherever it stands in `text`; anything else becomes `otherwise` with the text, made printable
// and cut at 300 characters.
Error from_wire(std::string_view text, Errc otherwise, std::string_view where);

}  // namespace drover::network
