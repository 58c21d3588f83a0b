#include "actors/network/remote_error.hpp"

#include "actors/network/peer_name.hpp"

namespace drover::network {

namespace {
constexpr std::string_view marker = "[drover ";
constexpr size_t text_chars_max = 300;

bool code_from_name(std::string_view name, Errc& code) {
  for (int i = 0; i <= static_cast<int>(Errc::internal); ++i) {
    if (errc_name(static_cast<Errc>(i)) != name) continue;
    code = static_cast<Errc>(i);
    return true;
  }
  return false;
}
}  // namespace

std::string to_wire(const Error& error) {
  return std::string(marker) + std::string(errc_name(error.code)) + "] " + printable(error.where, text_chars_max) +
         ": " + printable(error.what, text_chars_max);
}

Error from_wire(std::string_view text, Errc otherwise, std::string_view where) {
  const auto start = text.find(marker);
  const auto end = start == std::string_view::npos ? start : text.find("] ", start);
  Errc code = otherwise;
  if (end != std::string_view::npos &&
      code_from_name(text.substr(start + marker.size(), end - start - marker.size()), code)) {
    const auto rest = text.substr(end + 2);
    const auto colon = rest.find(": ");
    if (colon != std::string_view::npos)
      return {code, printable(rest.substr(0, colon), text_chars_max),
              printable(rest.substr(colon + 2), text_chars_max)};
  }
  return {otherwise, std::string(where), printable(text, text_chars_max)};
}

}  // namespace drover::network
