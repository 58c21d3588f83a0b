// drover econ: its parts. Each declares its subcommands on `app` and returns what runs after the words were parsed: the
// exit code when one of its own was given, nothing otherwise. econ.cpp lists the parts.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>

#include "messages/result.hpp"
#include "nodes/commands/command.hpp"
#include "storage/env.hpp"

namespace drover::nodes {

using EconPart = std::function<std::optional<int>()>;

EconPart add_econ_ledger(CLI::App& app);  // econ_ledger.cpp

// The folder of the books in a coordinator's store.
std::string econ_folder(const std::string& store);
// Opens the books to read, beside whoever writes them. Errors: not_found (no coordinator's store, or no books yet).
Result<storage::Env> open_books(const std::string& store);

}  // namespace drover::nodes
