#include "messages/result.hpp"

namespace drover {

std::string_view errc_name(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_argument:
      return "invalid_argument";
    case Errc::not_found:
      return "not_found";
    case Errc::already_exists:
      return "already_exists";
    case Errc::corrupt:
      return "corrupt";
    case Errc::truncated:
      return "truncated";
    case Errc::too_large:
      return "too_large";
    case Errc::unsupported_version:
      return "unsupported_version";
    case Errc::conflict:
      return "conflict";
    case Errc::gap:
      return "gap";
    case Errc::refused:
      return "refused";
    case Errc::disk_full:
      return "disk_full";
    case Errc::io:
      return "io";
    case Errc::timeout:
      return "timeout";
    case Errc::unavailable:
      return "unavailable";
    case Errc::overloaded:
      return "overloaded";
    case Errc::internal:
      return "internal";
  }
  return "unknown";
}

std::string Error::message() const {
  std::string text(errc_name(code));
  if (!where.empty()) text.append(": ").append(where);
  if (!what.empty()) text.append(": ").append(what);
  return text;
}

}  // namespace drover
