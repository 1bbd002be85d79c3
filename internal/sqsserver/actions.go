package sqsserver

// action is one operation of the service.
type action struct {
	do func(*call) error

	// result: XML answers have an element <…Result>. Actions that answer
	// nothing have none.
	result bool

	// accountOnly: not valid at a queue's own URL.
	accountOnly bool
}

var actions = map[string]*action{
	"CreateQueue":        {do: createQueue, result: true, accountOnly: true},
	"DeleteQueue":        {do: deleteQueue},
	"GetQueueUrl":        {do: getQueueURL, result: true},
	"ListQueues":         {do: listQueues, result: true, accountOnly: true},
	"GetQueueAttributes": {do: getQueueAttributes, result: true},
	"SetQueueAttributes": {do: setQueueAttributes},
	"PurgeQueue":         {do: purgeQueue},
	"TagQueue":           {do: tagQueue},
	"UntagQueue":         {do: untagQueue},
	"ListQueueTags":      {do: listQueueTags, result: true},

	"SendMessage":                  {do: sendMessage, result: true},
	"SendMessageBatch":             {do: sendMessageBatch, result: true},
	"ReceiveMessage":               {do: receiveMessage, result: true},
	"DeleteMessage":                {do: deleteMessage},
	"DeleteMessageBatch":           {do: deleteMessageBatch, result: true},
	"ChangeMessageVisibility":      {do: changeMessageVisibility},
	"ChangeMessageVisibilityBatch": {do: changeMessageVisibilityBatch, result: true},

	"ListDeadLetterSourceQueues": {do: listDeadLetterSourceQueues, result: true},
	"StartMessageMoveTask":       {do: startMessageMoveTask, result: true},
	"ListMessageMoveTasks":       {do: listMessageMoveTasks, result: true},
	"CancelMessageMoveTask":      {do: cancelMessageMoveTask, result: true},

	"AddPermission":    {do: addPermission},
	"RemovePermission": {do: removePermission},
}
