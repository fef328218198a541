package run

// StartTime lets tests write the record of a process.
var StartTime = startTime
