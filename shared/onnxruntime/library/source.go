package library

import (
	"path"
	"runtime"
)

// source is one package of one registry that carries the library for this
// machine. The hash is the library's own, so it matters not how it came.
type source struct {
	tool     string // "pip" or "npm"
	version  string // of the package
	platform string // pip: the wheel's platform tag
	member   string // path inside the package
	sha256   string
	bytes    int64 // size of the download, for the progress bar
}

// file is the name in the cache: versions live side by side.
func (s source) file() string { return s.version + "-" + path.Base(s.member) }

// sources are in order of preference. npm lags behind: its newest is 1.30, new
// enough for the binding (API 24) and equally fast, but 113 MB to fetch.
func sources() []source { return known[runtime.GOOS+"/"+runtime.GOARCH] }

var known = map[string][]source{
	"linux/amd64": {
		{"pip", Version, "manylinux_2_28_x86_64", "onnxruntime/capi/libonnxruntime.so.1.32.0", "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f", 27780404},
		{"npm", "1.30.0", "", "package/bin/napi-v6/linux/x64/libonnxruntime.so.1", "ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23", 113507888},
	},
	"linux/arm64": {
		{"pip", Version, "manylinux_2_28_aarch64", "onnxruntime/capi/libonnxruntime.so.1.32.0", "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a", 23195811},
		{"npm", "1.30.0", "", "package/bin/napi-v6/linux/arm64/libonnxruntime.so.1", "1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76", 113507888},
	},
	"darwin/arm64": {
		{"pip", Version, "macosx_14_0_arm64", "onnxruntime/capi/libonnxruntime.1.32.0.dylib", "fa585fabbea65b823b9a8f7e27d46aee3989d1be7e36b528203d3a1fd613aae7", 22518865},
		{"npm", "1.30.0", "", "package/bin/napi-v6/darwin/arm64/libonnxruntime.1.30.0.dylib", "685d2be5dba1309c89d3a5324b7fd06a5c42f1a61bfea32d14c4cc28d072121d", 113507888},
	},
}
