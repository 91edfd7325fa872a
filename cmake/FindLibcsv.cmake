# Finds libcsv, which parses CSV files, and defines Libcsv::Libcsv.
#
#   Libcsv_LIBRARY, Libcsv_INCLUDE_DIR   the library and the folder of csv.h

find_library(Libcsv_LIBRARY NAMES csv)
find_path(Libcsv_INCLUDE_DIR NAMES csv.h)
mark_as_advanced(Libcsv_LIBRARY Libcsv_INCLUDE_DIR)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libcsv REQUIRED_VARS Libcsv_LIBRARY Libcsv_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "Debian's package is libcsv-dev. Elsewhere, set Libcsv_LIBRARY and Libcsv_INCLUDE_DIR.")

if(Libcsv_FOUND AND NOT TARGET Libcsv::Libcsv)
  add_library(Libcsv::Libcsv UNKNOWN IMPORTED)
  set_target_properties(Libcsv::Libcsv PROPERTIES IMPORTED_LOCATION ${Libcsv_LIBRARY}
                        INTERFACE_INCLUDE_DIRECTORIES ${Libcsv_INCLUDE_DIR})
endif()
